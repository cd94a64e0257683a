"""Bars that a model has to clear: ``auc_lower>=0.95``. They are held on interval bounds, in the worst case."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triage.errors import StartError

_AT_POINT = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "ppv_at_prevalence", "npv_at_prevalence")
NAMES = ("auc", "coverage", "brier", "ece", *_AT_POINT)
_FORM = re.compile(
    r"(?P<study>study\.)?(?P<name>[a-z0-9_]+?)_(?P<side>lower|upper)(?:@(?P<point>[^\[><=]+))?"
    r"(?:\[(?P<column>[^\]=]+)=(?P<group>[^\]]+)\])?\s*(?P<sign>>=|<=)\s*(?P<limit>-?[0-9.]+(?:e-?[0-9]+)?)"
)


class BarError(StartError):
    """A bar that nothing can be held against; the message says what is wrong with it."""


@dataclass(frozen=True)
class Bar:
    """``[study.]NAME_lower[@POINT][[COLUMN=GROUP]]>=LIMIT``, or ``_upper`` and ``<=`` for what should be small."""

    text: str
    name: str
    side: str
    limit: float
    study: bool = False
    point: str = ""
    column: str = ""
    group: str = ""


@dataclass(frozen=True)
class BarResult:
    """A bar and the bound that it was held against; None where the cohort does not define it, which fails."""

    bar: Bar
    bound: float | None
    holds: bool


def parse(text: str) -> Bar:
    """A bar as it is written on the command line. Raises BarError."""
    found = _FORM.fullmatch(text.strip())
    if not found or found["name"] not in NAMES:
        raise BarError(
            f"--require {text}: write NAME_lower>=VALUE or NAME_upper<=VALUE with NAME of {', '.join(NAMES)}"
        )
    if (found["side"], found["sign"]) not in (("lower", ">="), ("upper", "<=")):
        raise BarError(f"--require {text}: a lower bound is held with >=, an upper bound with <=")
    try:
        limit = float(found["limit"])
    except ValueError:
        raise BarError(f"--require {text}: {found['limit']} is no number") from None
    bar = Bar(
        text=text,
        name=found["name"],
        side=found["side"],
        limit=limit,
        study=bool(found["study"]),
        point=(found["point"] or "").strip(),
        column=found["column"] or "",
        group=found["group"] or "",
    )
    _check(bar)
    return bar


def hold(bar: Bar, metrics: Mapping[str, Any]) -> BarResult:
    """Hold a bar against measured figures. BarError if they have no such point, column or group."""
    figure = _figure(bar, metrics)
    intervals = [bounds for bounds in figure["intervals"].values() if None not in bounds]
    if not intervals:
        return BarResult(bar, None, False)
    bound = min(low for low, _ in intervals) if bar.side == "lower" else max(high for _, high in intervals)
    holds = bound >= bar.limit if bar.side == "lower" else bound <= bar.limit
    return BarResult(bar, bound, bool(holds))


def _check(bar: Bar) -> None:
    if bar.point and bar.name not in _AT_POINT:
        raise BarError(f"--require {bar.text}: {bar.name} has no operating point")
    if bar.column and (bar.study or bar.point or bar.name not in ("auc", "sensitivity", "specificity", "coverage")):
        raise BarError(f"--require {bar.text}: groups have auc, sensitivity, specificity and coverage, per image")
    if bar.study and bar.name in ("brier", "ece"):
        raise BarError(f"--require {bar.text}: calibration is per image")


def _figure(bar: Bar, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    if bar.column:
        group = _group(bar, metrics["subgroups"])
        found = group["coverage"] if bar.name == "coverage" else group["worst_case"][bar.name]
    elif bar.name in ("brier", "ece"):
        found = metrics["calibration"]["worst_case"][bar.name]
    else:
        measured = metrics["study" if bar.study else "image"]
        if bar.name == "coverage":
            found = measured["coverage"]
        elif bar.name == "auc":
            found = measured["auc"]["worst_case"]
        else:
            found = _at_point(bar, measured["points"])
    return dict(found)


def _group(bar: Bar, subgroups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Mapping[str, Any]:
    for group in subgroups.get(bar.column, ()):
        if group["group"] == bar.group:
            return group
    known = ", ".join(f"{name}={each['group']}" for name, groups in subgroups.items() for each in groups)
    raise BarError(f"--require {bar.text}: the cohort has no such group, only {known or 'none'}")


def _at_point(bar: Bar, points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for point in points:
        if not bar.point or bar.point == point["name"] or _is_number(bar.point, point["threshold"]):
            figures: Mapping[str, Mapping[str, Any]] = point["worst_case"]["figures"]
            if bar.name not in figures:
                raise BarError(f"--require {bar.text}: give --prevalence")
            return figures[bar.name]
    raise BarError(f"--require {bar.text}: the points are {', '.join(point['name'] for point in points)}")


def _is_number(text: str, threshold: float) -> bool:
    try:
        return math.isclose(float(text), threshold, abs_tol=1e-9)
    except ValueError:
        return False
