"""Versions of card.json: a card of an earlier version is converted when it is read. The file stays as it is.

The service never writes a card: its folder may be read-only, and the signature is that of the exporter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triage.errors import TriageError

SCHEMA = 2
CardRecord = dict[str, object]
Step = Callable[[CardRecord], CardRecord]


class LaterCardError(TriageError, ValueError):
    """The card was written for a later release. Install that release."""


_OF_THE_FINDING = (
    "operating_points",
    "calibration",
    "calibration_fit",
    "performance",
    "activation_map",
    "activation_grid",
)
"""Keys of a card of version 1 that became those of its finding."""

_IN_FORCE = 0.5
"""The operating point of releases that read version 1, whatever the card said."""


def _with_findings(record: CardRecord) -> CardRecord:
    """Version 2: findings. The one target of a card of version 1 is its finding ``abnormal``."""
    target = record.get("target")
    if not isinstance(target, dict):
        return record  # the check of the card reports it
    meaning = {key: value for key, value in target.items() if key not in ("finding", "negative_is_normal")}
    is_normal = target.get("negative_is_normal")
    finding = {
        "name": "abnormal",
        "title": target.get("finding"),
        "column": 0,
        "negative_means": "absent" if is_normal else "undetermined",
        **meaning,
        **{key: record[key] for key in _OF_THE_FINDING if key in record},
        "activation_column": 0,  # a graph without maps has none
    }
    finding["operating_points"] = _first_in_force(record.get("operating_points"))
    kept = {key: value for key, value in record.items() if key not in (*_OF_THE_FINDING, "target")}
    return {**kept, "findings": [finding], "abnormal": {"negative_is_normal": is_normal}}


def _first_in_force(points: object) -> object:
    if not isinstance(points, list):
        return points
    if points and isinstance(points[0], dict) and points[0].get("threshold") == _IN_FORCE:
        return points
    return [{"name": "default", "threshold": _IN_FORCE, "chosen": "0.5 by convention"}, *points]


STEPS: Mapping[int, Step] = {1: _with_findings}
"""Conversions to the next version, by the version they start from."""


def as_of_now(record: CardRecord, steps: Mapping[int, Step] = STEPS, schema: int = SCHEMA) -> CardRecord:
    """Return the record of a card in this program's version. Raises LaterCardError."""
    found = record.get("card_schema")
    if not isinstance(found, int):
        return record  # the check of the card reports it
    if found > schema:
        raise LaterCardError(
            f"card_schema is {found}, this program knows {schema}: install the release that it was exported for"
        )
    for version in range(found, schema):
        if version not in steps:
            break
        record = {**steps[version](record), "card_schema": version + 1}
    return record
