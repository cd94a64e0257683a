"""The operating point that ``triage validate`` measured, read from its metrics.json.

Points are the list ``points`` (or ``operating_points``, or an object of points by name) of ``study`` (the reading list
is one of studies), else of ``image``, else of the whole file. From the chosen point come ``sensitivity`` and
``specificity`` (of ``assessed.figures``, or of the point itself). The shares that were not assessed come from
``assessed.confusion`` with ``positives`` and ``negatives``, else from ``coverage``. A figure is a number or an object
with the number as ``value``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from triage.simulation.scenario import ScenarioError

Record = Mapping[str, object]


def read_operating_point(path: Path, name: str | None) -> dict[str, object]:
    """Return the keys of a scenario's ``model`` for the operating point ``name``; None for the only one in the file.

    Raises ScenarioError if the file does not have it, naming those that it has.
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


def _unit(metrics: object) -> Record:
    return _object(_object(metrics).get("study")) or _object(_object(metrics).get("image")) or _object(metrics)


def _unassessed(point: Record, unit: Record, metrics: Record) -> dict[str, float | None]:
    """Return the share of each class that was not assessed, by the counts, else by the coverage."""
    counted = _object(_object(point.get("assessed")).get("confusion"))
    totals = [_figure(unit.get(name)) for name in ("positives", "negatives")]
    if all(key in counted for key in ("tp", "fp", "tn", "fn")) and all(totals):
        tp, fp, tn, fn = (_figure(counted[key]) or 0.0 for key in ("tp", "fp", "tn", "fn"))
        abnormal, normal = (_share(1 - n / total) for n, total in zip((tp + fn, fp + tn), totals, strict=True) if total)
        return {"not_assessed": normal, "not_assessed_abnormal": abnormal}
    coverages = (_figure(_object(record).get("coverage")) for record in (point, unit, metrics))
    coverage = next((each for each in coverages if each is not None), 1.0)
    return {"not_assessed": _share(1 - coverage), "not_assessed_abnormal": None}


def _share(value: float) -> float:
    return round(value, 12) + 0.0  # without the rounding error of a subtraction


def _points(unit: Record) -> dict[str, Record]:
    found = unit.get("points") or unit.get("operating_points")
    if isinstance(found, dict):
        return {str(name): point for name, point in found.items() if isinstance(point, dict)}
    if isinstance(found, list):
        return {_name(point, number): point for number, point in enumerate(found) if isinstance(point, dict)}
    return {}


def _object(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _name(point: Record, number: int) -> str:
    for key in ("name", "operating_point", "threshold"):
        if (value := point.get(key)) is not None:
            return str(_figure(value) if isinstance(value, dict) else value)
    return str(number)


def _figure(value: object) -> float | None:
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
