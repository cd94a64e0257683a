"""Files of operating points for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DIGEST = "d" * 64
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def cases(positive_patients: int = 100, **changes: Any) -> dict[str, Any]:
    """Cases of a point, as its provenance has them."""
    figure = {"value": 0.98, "low": 0.95, "high": 0.99, "n": positive_patients}
    known = {"studies": 300, "patients": 300, "positive_patients": positive_patients, "negative_patients": 200}
    digests = {"manifest": "ours.csv", "manifest_sha256": "a" * 64, "images_sha256": "b" * 64}
    return {**known, **digests, "figures": {"sensitivity": figure}, **changes}


def a_point(
    name: str, *, positive_patients: int = 100, days: float | None = None, at: datetime = AT, **changes: Any
) -> dict[str, Any]:
    """An entry of the file that holds; ``days`` until it expires; ``changes`` replace keys."""
    inherits = "inherits" in changes and "threshold" not in changes
    point = {
        "name": name,
        "model_sha256": DIGEST,
        "finding": "abnormal",
        **({} if inherits else {"threshold": 0.3}),
        "provenance": {
            "by": "N. N.",
            "at": at.isoformat(),
            "rule": "sensitivity_lower>=0.95",
            "chosen_on": cases(positive_patients),
            "checked_on": cases(positive_patients),
        },
        **({} if days is None else {"expires": (at + timedelta(days=days)).isoformat()}),
    }
    return {**point, **changes}


def write_file(path: Path, *points: dict[str, Any]) -> Path:
    """Write a file of operating points."""
    path.write_text(json.dumps({"points_schema": 1, "points": points}))
    return path
