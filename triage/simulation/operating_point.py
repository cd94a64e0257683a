"""The operating point that ``triage validate`` measured, read from its metrics.json.

What is read: ``operating_points``, a list of objects (each with a ``name``) or an object of objects by name; of the
chosen one ``sensitivity`` and ``specificity``; and ``coverage`` (the share of images that were assessed) of the point
or of the whole file. A figure is a number or an object with the number as ``value``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triage.simulation.scenario import ScenarioError


def read_operating_point(path: Path, name: str | None) -> dict[str, Any]:
    """The keys of a scenario's ``model`` for the operating point ``name``, which one point alone need not have.

    Raises ScenarioError for a file without it, naming those that there are.
    """
    try:
        metrics = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from error
    points = _points(metrics)
    if not points:
        raise ScenarioError(f"{path} has no operating_points: is it a metrics.json of triage validate?")
    if name is None and len(points) > 1:
        raise ScenarioError(f"{path} has several operating points, choose with --point: {', '.join(points)}")
    chosen = name if name is not None else next(iter(points))
    if chosen not in points:
        raise ScenarioError(f"{path} has no operating point {chosen!r}; it has: {', '.join(points)}")
    point = points[chosen]
    figures = {key: _figure(point.get(key)) for key in ("sensitivity", "specificity")}
    missing = [key for key, value in figures.items() if value is None]
    if missing:
        raise ScenarioError(f"{path}: operating point {chosen!r} has no {' and no '.join(missing)}")
    coverage = _figure(point.get("coverage"))
    if coverage is None:
        coverage = _figure(metrics.get("coverage"))
    unassessed = 0.0 if coverage is None else round(1.0 - coverage, 12)
    return {
        **figures,
        "not_assessed": unassessed,
        "not_assessed_abnormal": None,
        "source": f"{path.name}, operating point {chosen}",
    }


def _points(metrics: Any) -> dict[str, Mapping[str, Any]]:
    found = metrics.get("operating_points") if isinstance(metrics, dict) else None
    if isinstance(found, dict):
        return {str(name): point for name, point in found.items() if isinstance(point, dict)}
    if isinstance(found, list):
        return {_name(point, number): point for number, point in enumerate(found) if isinstance(point, dict)}
    return {}


def _name(point: Mapping[str, Any], number: int) -> str:
    for key in ("name", "operating_point", "threshold"):
        if (value := point.get(key)) is not None:
            return str(_figure(value) if isinstance(value, dict) else value)
    return str(number)


def _figure(value: Any) -> float | None:
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
