"""What patients got: turnaround by group of studies, and its uncertainty over replications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
import numpy.typing as npt

from triage.simulation.cases import Cases
from triage.simulation.policies import TagCode
from triage.simulation.queues import Timeline
from triage.simulation.student_t import central_limit

Values = npt.NDArray[np.float64]

MEASURES = ("wait", "report")
"""Minutes from arrival until the reading begins, and until the report is there."""
STATISTICS = ("mean", "median", "p95", "maximum")
GROUPS = ("abnormal", "normal", "not assessed", "missed abnormal", "all")
"""By the truth, except ``not assessed`` (of either truth); ``missed abnormal`` is abnormal but tagged NORMAL."""

CURVE_EDGES: Values = np.geomspace(0.1, 1e5, 481)
"""Minutes at which the distribution of turnarounds is kept, for plots."""


@dataclass(frozen=True)
class Estimate:
    """Mean over replications of a statistic, and its 95 % confidence interval (Student's t); NaN where unknown."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """One replication under one policy.

    ``statistics[measure, group, statistic]`` in minutes, NaN for a group without a study; ``counts`` by group;
    ``curves`` by group: studies reported within each of ``CURVE_EDGES``.
    """

    statistics: Values
    counts: Mapping[str, int]
    curves: Mapping[str, Values]


def outcome(cases: Cases, timeline: Timeline) -> Outcome:
    """What the measured studies of one replication got."""
    report = np.asarray(timeline.reported) - cases.arrived
    durations = {"wait": np.asarray(timeline.begun) - cases.arrived, "report": report}
    members = {group: mask & cases.measured for group, mask in _groups(cases).items()}
    statistics = np.asarray(
        [[_summary(durations[measure][members[group]]) for group in GROUPS] for measure in MEASURES]
    )
    return Outcome(
        statistics,
        {group: int(np.count_nonzero(mask)) for group, mask in members.items()},
        {group: _within(report[mask]) for group, mask in members.items()},
    )


def estimate(values: Sequence[float] | Values) -> Estimate:
    """The mean of independent replications and its 95 % interval; replications without the group (NaN) do not count."""
    known = np.asarray([value for value in values if isfinite(value)])
    if not len(known):
        return Estimate(nan, nan, nan)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, nan, nan)
    half = central_limit(0.95, len(known) - 1) * float(known.std(ddof=1)) / sqrt(len(known))
    return Estimate(mean, mean - half, mean + half)


def _groups(cases: Cases) -> dict[str, npt.NDArray[np.bool_]]:
    groups = (
        cases.abnormal,
        ~cases.abnormal,
        cases.tag == TagCode.NOT_ASSESSED,
        cases.abnormal & (cases.tag == TagCode.NORMAL),
        np.ones(len(cases.arrived), dtype=bool),
    )
    return dict(zip(GROUPS, groups, strict=True))


def _summary(minutes: Values) -> tuple[float, ...]:
    if not len(minutes):
        return (nan,) * len(STATISTICS)
    median, p95 = np.quantile(minutes, [0.5, 0.95])
    return float(minutes.mean()), float(median), float(p95), float(minutes.max())


def _within(minutes: Values) -> Values:
    bins = np.searchsorted(CURVE_EDGES, minutes, side="left")
    counts = np.bincount(bins, minlength=len(CURVE_EDGES) + 1)[: len(CURVE_EDGES)]
    return np.cumsum(counts).astype(np.float64)
