"""The operating point that ``triage validate`` measured, read from its metrics.json.

What is read: of ``study`` (the reading list is one of studies; else of ``image``, else of the whole file) the list
``points`` (or ``operating_points``; or an object of points by name); of the chosen one ``sensitivity`` and
``specificity`` of ``assessed.figures`` (or of the point itself), and from ``assessed.confusion`` with ``positives`` and
``negatives`` how many of each class were not assessed; without those, that from ``coverage``. A figure is a number or
an object with the number as ``value``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triage.simulation.scenario import ScenarioError

Record = Mapping[str, Any]


def read_operating_point(path: Path, name: str | None) -> dict[str, Any]:
    """The keys of a scenario's ``model`` for the operating point ``name``, which a point that is alone need not have.

    Raises ScenarioError for a file without it, naming those that there are.
    """
    try:
        metrics = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from error
    unit = _unit(metrics)
    points = _points(unit)
    if not points:
        raise ScenarioError(f"{path} has no operating points: is it a metrics.json of triage validate?")
    if name is None and len(points) > 1:
        raise ScenarioError(f"{path} has several operating points, choose with --point: {', '.join(points)}")
    chosen = name if name is not None else next(iter(points))
    if chosen not in points:
        raise ScenarioError(f"{path} has no operating point {chosen!r}; it has: {', '.join(points)}")
    point = points[chosen]
    figures = _object(_object(point.get("assessed")).get("figures")) or point
    found = {key: _figure(figures.get(key)) for key in ("sensitivity", "specificity")}
    missing = [key for key, value in found.items() if value is None]
    if missing:
        raise ScenarioError(f"{path}: operating point {chosen!r} has no {' and no '.join(missing)}")
    return {**found, **_unassessed(point, unit, metrics), "source": f"{path.name}, operating point {chosen}"}


def _unit(metrics: Any) -> Record:
    return _object(_object(metrics).get("study")) or _object(_object(metrics).get("image")) or _object(metrics)


def _unassessed(point: Record, unit: Record, metrics: Record) -> dict[str, float | None]:
    """The share of each class that is in the cohort and not among the assessed; else what the coverage leaves."""
    counted = _object(_object(point.get("assessed")).get("confusion"))
    totals = [_figure(unit.get(name)) for name in ("positives", "negatives")]
    if all(key in counted for key in ("tp", "fp", "tn", "fn")) and all(totals):
        assessed = (counted["tp"] + counted["fn"], counted["fp"] + counted["tn"])
        ill, well = (_share(1 - each / total) for each, total in zip(assessed, totals, strict=True) if total)
        return {"not_assessed": well, "not_assessed_abnormal": ill}
    coverages = (_figure(_object(place).get("coverage")) for place in (point, unit, metrics))
    coverage = next((each for each in coverages if each is not None), 1.0)
    return {"not_assessed": _share(1 - coverage), "not_assessed_abnormal": None}


def _share(value: float) -> float:
    return round(value, 12) + 0.0  # without the dust of a subtraction


def _points(unit: Record) -> dict[str, Record]:
    found = unit.get("points") or unit.get("operating_points")
    if isinstance(found, dict):
        return {str(name): point for name, point in found.items() if isinstance(point, dict)}
    if isinstance(found, list):
        return {_name(point, number): point for number, point in enumerate(found) if isinstance(point, dict)}
    return {}


def _object(value: Any) -> Record:
    return value if isinstance(value, dict) else {}


def _name(point: Record, number: int) -> str:
    for key in ("name", "operating_point", "threshold"):
        if (value := point.get(key)) is not None:
            return str(_figure(value) if isinstance(value, dict) else value)
    return str(number)


def _figure(value: Any) -> float | None:
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
