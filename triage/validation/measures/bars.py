"""Bars that a model has to clear, such as ``auc_lower>=0.95``: limits of interval bounds, in the worst case."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from triage.errors import StartError
from triage.validation.measures.figures import defined_intervals
from triage.validation.measures.finding_records import CallsCase
from triage.validation.measures.metrics_record import FigureRecord, GroupRecord, PointRecord
from triage.validation.measures.whole_record import MetricsRecord

_AT_POINT = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "ppv_at_prevalence", "npv_at_prevalence")
NAMES = ("auc", "coverage", "brier", "ece", *_AT_POINT)
_FORM = re.compile(
    r"(?:(?P<of>[a-z][a-z0-9_]*):)?(?P<study>study\.)?(?P<name>[a-z0-9_]+?)_(?P<side>lower|upper)(?:@(?P<point>[^\[><=]+))?"
    r"(?:\[(?P<column>[^\]=]+)=(?P<group>[^\]]+)\])?\s*(?P<sign>>=|<=)\s*(?P<limit>-?[0-9.]+(?:e-?[0-9]+)?)"
)


class BarError(StartError):
    """A bar that cannot be checked; the message says what is wrong with it."""


@dataclass(frozen=True)
class Bar:
    """``[OF:][study.]NAME_lower[@POINT][[COLUMN=GROUP]]>=LIMIT``, or ``_upper`` and ``<=`` for an upper bound.

    ``of``: a finding, by the thresholds in force unless a point is named; ``combined``: the rule of the tag; ``macro``:
    the mean over findings; empty: the leading finding against ``label``.
    """

    text: str
    name: str
    side: str
    limit: float
    study: bool = False
    point: str = ""
    column: str = ""
    group: str = ""
    of: str = ""


@dataclass(frozen=True)
class BarResult:
    """A bar and the bound that was found; None where the cohort does not define it, which fails."""

    bar: Bar
    bound: float | None
    holds: bool


def parse_all(texts: Sequence[str], *, scores_given: bool) -> list[Bar]:
    """Parse the bars of a validation. Raises BarError, also for coverage where ``scores_given`` tell of no refusal."""
    found = [parse(text) for text in texts]
    for bar in found:
        if scores_given and bar.name == "coverage":
            raise BarError(f"--require {bar.text}: what a model refuses is not measured from given --scores")
    return found


def parse(text: str) -> Bar:
    """Parse a bar as it is written on the command line. Raises BarError."""
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
        of=found["of"] or "",
    )
    _check(bar)
    return bar


def hold(bar: Bar, metrics: MetricsRecord) -> BarResult:
    """Check a bar against measured figures. Raises BarError if they have no such point, column or group."""
    figure = _figure(bar, metrics)
    intervals = defined_intervals(figure).values()
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
    if bar.of and (bar.column or bar.name in ("brier", "ece")):
        raise BarError(f"--require {bar.text}: a finding has no groups and no calibration here")
    if bar.study and bar.name in ("brier", "ece"):
        raise BarError(f"--require {bar.text}: calibration is per image")


def _figure(bar: Bar, metrics: MetricsRecord) -> FigureRecord:
    if bar.of:
        return _of_finding(bar, metrics)
    if bar.column:
        group = _group(bar, metrics["subgroups"])
        return group["coverage"] if bar.name == "coverage" else group["worst_case"][bar.name]
    if bar.name in ("brier", "ece"):
        return metrics["calibration"]["worst_case"][bar.name]
    unit = metrics["study"] if bar.study else metrics["image"]
    if bar.name == "coverage":
        return unit["coverage"]
    return unit["auc"]["worst_case"] if bar.name == "auc" else _at_point(bar, unit["points"])


def _of_finding(bar: Bar, metrics: MetricsRecord) -> FigureRecord:
    """Return the figure of a finding, of the combined rule, or of the macro average. Raises BarError."""
    unit: Literal["study", "image"] = "study" if bar.study else "image"
    finding = next((each for each in metrics["findings"] if each["name"] == bar.of), None)
    if finding is not None:
        if bar.name == "coverage":
            return finding[unit]["coverage"]
        if bar.name == "auc":
            return finding[unit]["auc"]["worst_case"]
        return _at_point(bar, finding[unit]["points"]) if bar.point else _named(bar, finding["in_force"][unit])
    if bar.of == "combined" and metrics["combined"] is not None and not bar.point:
        return _named(bar, metrics["combined"][unit])
    macro = metrics["macro_average"]
    if bar.of == "macro" and macro is not None and not bar.point and not bar.study and bar.name in macro["worst_case"]:
        return macro["worst_case"][bar.name]
    known = [*(each["name"] for each in metrics["findings"]), "combined", *(["macro"] if macro else [])]
    raise BarError(f"--require {bar.text}: there is no such figure; before the colon stands one of {', '.join(known)}")


def _named(bar: Bar, case: CallsCase) -> FigureRecord:
    figures = case["worst_case"]["figures"]
    if bar.name not in figures:
        raise BarError(f"--require {bar.text}: there are {', '.join(figures)}; those at a prevalence need --prevalence")
    return figures[bar.name]


def _group(bar: Bar, subgroups: Mapping[str, Sequence[GroupRecord]]) -> GroupRecord:
    for group in subgroups.get(bar.column, ()):
        if group["group"] == bar.group:
            return group
    known = ", ".join(f"{name}={each['group']}" for name, groups in subgroups.items() for each in groups)
    raise BarError(f"--require {bar.text}: the cohort has no such group, only {known or 'none'}")


def _at_point(bar: Bar, points: Sequence[PointRecord]) -> FigureRecord:
    for point in points:
        if not bar.point or bar.point == point["name"] or _is_number(bar.point, point["threshold"]):
            figures = point["worst_case"]["figures"]
            if bar.name not in figures:
                raise BarError(f"--require {bar.text}: give --prevalence")
            return figures[bar.name]
    raise BarError(f"--require {bar.text}: the points are {', '.join(point['name'] for point in points)}")


def _is_number(text: str, threshold: float) -> bool:
    try:
        return math.isclose(float(text), threshold, abs_tol=1e-9)
    except ValueError:
        return False
