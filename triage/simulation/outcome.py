"""What patients got: turnaround by group of studies, and its uncertainty over replications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""Minutes from arrival until the reading begins, and until the report is there."""
STATISTICS = ("mean", "median", "p95", "maximum")

CURVE_EDGES: Values = np.geomspace(0.1, 1e6, 561)
"""Minutes at which the distribution of turnarounds is kept, for plots: up to some two years."""


@dataclass(frozen=True)
class Estimate:
    """Mean over replications of a statistic, and its 95 % confidence interval (Student's t); NaN where unknown."""

    value: float
    lower: float
    upper: float

    def scaled(self, minutes: float) -> Estimate:
        """The same in units of so many minutes."""
        return Estimate(self.value / minutes, self.lower / minutes, self.upper / minutes)


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """One replication under one policy.

    ``statistics[measure, group, statistic]`` in minutes, NaN for a group without a study; ``counts`` by group;
    ``curves`` by group: studies reported within each of ``CURVE_EDGES``.
    """

    statistics: Values
    counts: Mapping[str, int]
    curves: Mapping[str, Values]


def outcome(cases: Cases, timeline: Timeline) -> PolicyOutcome:
    """What the measured studies of one replication got."""
    report = np.asarray(timeline.reported) - cases.arrived
    durations = {"wait": np.asarray(timeline.begun) - cases.arrived, "report": report}
    members = {group: mask & cases.measured for group, mask in groups(cases).items()}
    statistics = np.asarray([[_summary(durations[measure][mask]) for mask in members.values()] for measure in MEASURES])
    return PolicyOutcome(
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


def groups(cases: Cases) -> dict[str, Mask]:
    """The groups that are reported, in the order of tables, and which studies belong to each.

    Each class by the truth; NOT_ASSESSED of any class; ``missed`` of each class but the last: predicted less urgent
    than it is; where more than one class lies below it, also those of them that were taken for the least urgent.
    """
    names, predicted = cases.classes, cases.predicted
    least = len(names) - 1
    of_class = {name: cases.urgency == place for place, name in enumerate(names)}
    missed = {
        f"missed {name}": of_class[name] & (predicted > place) & (predicted <= least)
        for place, name in enumerate(names[:-1])
    }
    taken = {f"{name} taken for {names[-1]}": of_class[name] & (predicted == least) for name in names[:-2]}
    everyone = np.ones(len(predicted), dtype=bool)
    return {**of_class, NOT_ASSESSED: predicted > least, **missed, **taken, "all": everyone}


def _summary(minutes: Values) -> tuple[float, ...]:
    if not len(minutes):
        return (nan,) * len(STATISTICS)
    median, p95 = np.quantile(minutes, [0.5, 0.95])
    return float(minutes.mean()), float(median), float(p95), float(minutes.max())


def _within(minutes: Values) -> Values:
    bins = np.searchsorted(CURVE_EDGES, minutes, side="left")
    counts = np.bincount(bins, minlength=len(CURVE_EDGES) + 1)[: len(CURVE_EDGES)]
    return np.cumsum(counts).astype(np.float64)
