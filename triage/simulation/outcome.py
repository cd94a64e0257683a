"""Turnaround times by group of studies, and their uncertainty over replications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
import numpy.typing as npt

from triage.simulation.case_mix import NOT_ASSESSED
from triage.simulation.cases import Cases
from triage.simulation.queues import Timeline
from triage.simulation.student_t import central_limit

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MEASURES = ("wait", "report")
"""Minutes from arrival to the begin of reading, and to the report."""
STATISTICS = ("mean", "median", "p95", "p99", "maximum")

CURVE_EDGES: Values = np.geomspace(0.1, 1e6, 561)
"""Minutes at which the distribution of turnaround times is sampled for plots; up to about two years."""


@dataclass(frozen=True)
class Estimate:
    """Mean over replications of a statistic, and its 95 % confidence interval (Student's t); NaN where unknown."""

    value: float
    lower: float
    upper: float

    def scaled(self, minutes: float) -> Estimate:
        """Return the estimate in units of so many minutes."""
        return Estimate(self.value / minutes, self.lower / minutes, self.upper / minutes)


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """Turnaround times of one replication under one policy.

    ``statistics[measure, group, statistic]``: minutes, NaN for a group without a study. ``counts``: studies by group.
    ``curves``: studies reported within each of ``CURVE_EDGES``, by group.
    """

    statistics: Values
    counts: Mapping[str, int]
    curves: Mapping[str, Values]


def summarize(cases: Cases, timeline: Timeline) -> PolicyOutcome:
    """Return the turnaround times of the measured studies of one replication."""
    report = np.asarray(timeline.reported) - cases.arrived
    durations = {"wait": np.asarray(timeline.begun) - cases.arrived, "report": report}
    members = {group: mask & cases.measured for group, mask in study_groups(cases).items()}
    statistics = np.asarray([[_summary(durations[measure][mask]) for mask in members.values()] for measure in MEASURES])
    return PolicyOutcome(
        statistics,
        {group: int(np.count_nonzero(mask)) for group, mask in members.items()},
        {group: _reported_within(report[mask]) for group, mask in members.items()},
    )


def estimate(values: Sequence[float] | Values) -> Estimate:
    """Return the mean of independent replications with its 95 % interval; NaN (no study of the group) is left out."""
    known = np.asarray([value for value in values if isfinite(value)])
    if not len(known):
        return Estimate(nan, nan, nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, nan, nan)
    half = central_limit(0.95, len(known) - 1) * float(known.std(ddof=1)) / sqrt(len(known))
    return Estimate(mean, mean - half, mean + half)


def study_groups(cases: Cases) -> dict[str, Mask]:
    """Return the groups of studies in the order of tables, each with its members.

    The groups are: each true class; NOT_ASSESSED of any class; for each operating point its ``error_groups``; all.
    """
    names, least = cases.classes, len(cases.classes) - 1
    groups = {name: cases.urgency == index for index, name in enumerate(names)}
    groups[NOT_ASSESSED] = cases.predicted > least
    for point in (None, *cases.predicted_at):
        stated = cases.stated(point)
        for group, index, to_the_least in error_groups(names, point):
            missed = stated == least if to_the_least else (stated > index) & (stated <= least)
            groups[group] = (cases.urgency == index) & missed
    return {**groups, "all": np.ones(len(cases.urgency), dtype=bool)}


def error_groups(classes: Sequence[str], point: str | None) -> Iterator[tuple[str, int, bool]]:
    """Yield the groups of what is missed at an operating point (None: the first), with the index of the true class.

    They are: ``missed`` of each class but the last, predicted less urgent than it is; and, of classes with two or more
    below them, those predicted to be the least urgent (True).
    """
    at = "" if point is None else f" at {point}"
    for index, name in enumerate(classes[:-1]):
        yield f"missed {name}{at}", index, False
    for index, name in enumerate(classes[:-2]):
        yield f"{name} taken for {classes[-1]}{at}", index, True


def _summary(minutes: Values) -> tuple[float, ...]:
    if not len(minutes):
        return (nan,) * len(STATISTICS)
    median, p95, p99 = np.quantile(minutes, [0.5, 0.95, 0.99])
    return float(minutes.mean()), float(median), float(p95), float(p99), float(minutes.max())


def _reported_within(minutes: Values) -> Values:
    bins = np.searchsorted(CURVE_EDGES, minutes, side="left")
    counts = np.bincount(bins, minlength=len(CURVE_EDGES) + 1)[: len(CURVE_EDGES)]
    return np.cumsum(counts).astype(np.float64)
