"""The checkout that the program runs from, if it does."""

from __future__ import annotations

from pathlib import Path

import triage


def checkout() -> Path | None:
    """Its folder; None where the program is installed."""
    folder = Path(triage.__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "models").is_dir() else None
