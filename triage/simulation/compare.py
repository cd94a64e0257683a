"""Simulation of every policy on the same studies, replication by replication, and comparison with FIFO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from triage.simulation.arrivals import ArrivalLog, read_log
from triage.simulation.cases import Cases, draw_cases
from triage.simulation.outcome import (
    MEASURES,
    STATISTICS,
    Estimate,
    PolicyOutcome,
    Values,
    error_groups,
    estimate,
    summarize,
)
from triage.simulation.policies import FIFO, ReadingPolicy
from triage.simulation.queues import run_queue
from triage.simulation.scenario import Scenario, ScenarioError
from triage.simulation.time_units import HOUR, WEEK


@dataclass(frozen=True, eq=False)
class ScenarioComparison:
    """All replications of a scenario.

    ``statistics[policy]``: minutes, with the axes replication, measure, group, statistic. ``curves[policy][group]``:
    share of studies reported within each of ``CURVE_EDGES``, all replications together. ``counts``: studies by group
    over all replications. ``utilisation``: offered reading time over time on duty. ``at_point``: the operating point
    (None: the first) of a group that is of one point alone.
    """

    scenario: Scenario
    utilisation: float
    counts: Mapping[str, int]
    statistics: Mapping[str, Values]
    curves: Mapping[str, Mapping[str, Values]]
    at_point: Mapping[str, str | None]

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of studies, in the order of tables."""
        return tuple(self.counts)

    def policies_of(self, group: str) -> list[str]:
        """Return the policies to show a group under: of what a point misses FIFO, and those that read by that point."""
        if group not in self.at_point:
            return list(self.statistics)
        first = self.scenario.case_mix.confusions[0].point
        wanted = self.at_point[group] or first
        own = [policy.name for policy in self.scenario.policy if (policy.point or first) == wanted]
        return [FIFO.name, *own]

    def estimate(self, policy: str, measure: str, group: str, statistic: str) -> Estimate:
        """Return minutes, with a 95 % interval over replications."""
        return estimate(self._values(policy, measure, group, statistic))

    def versus(self, reference: str, policy: str, measure: str, group: str, statistic: str) -> Estimate:
        """Return the difference to the policy ``reference`` in minutes, paired: both read the same studies."""
        own = self._values(policy, measure, group, statistic)
        return estimate(own - self._values(reference, measure, group, statistic))

    def versus_fifo(self, policy: str, measure: str, group: str, statistic: str) -> Estimate:
        """Return the difference to FIFO in minutes, paired."""
        return self.versus(FIFO.name, policy, measure, group, statistic)

    def _values(self, policy: str, measure: str, group: str, statistic: str) -> Values:
        position = MEASURES.index(measure), self.groups.index(group), STATISTICS.index(statistic)
        return self.statistics[policy][:, *position]


def simulate(scenario: Scenario, advance: Callable[[], None] = lambda: None) -> ScenarioComparison:
    """Simulate the scenario; the same scenario gives the same figures. ``advance`` is called after each replication.

    Raises:
        ScenarioError: if readers cannot keep up with the arrivals (the queue never settles), or no study is measured.
        ArrivalLogError: if the log of arrivals cannot be used.
    """
    log = None if scenario.arrivals.log is None else read_log(scenario.arrivals.log, scenario.labels)
    if log is not None and scenario.urgency:
        _check_arrivals(scenario, log)
    utilisation = _utilisation(scenario, log)
    if log is None and utilisation >= 1:
        raise ScenarioError(
            f"more is to be read than readers can read ({utilisation:.0%} of their time): the queue would grow without "
            "end; give more readers, shorter reading times or fewer arrivals"
        )
    policies = (FIFO, *scenario.policy)
    found: dict[str, list[PolicyOutcome]] = {policy.name: [] for policy in policies}
    for seed in np.random.SeedSequence(scenario.run.seed).spawn(scenario.run.replications):
        cases = draw_cases(scenario, log, np.random.default_rng(seed))
        if not cases.measured.any():
            raise ScenarioError("no study is left to measure: simulate more weeks, or shorten run.warm_up_days")
        for policy in policies:
            found[policy.name].append(simulate_policy(cases, scenario, policy))
        advance()
    groups = tuple(found[FIFO.name][0].counts)
    return ScenarioComparison(
        scenario,
        utilisation,
        {group: sum(one.counts[group] for one in found[FIFO.name]) for group in groups},
        {name: np.stack([one.statistics for one in outcomes]) for name, outcomes in found.items()},
        {name: {group: _curve(outcomes, group) for group in groups} for name, outcomes in found.items()},
        _groups_of_points(scenario),
    )


def simulate_policy(cases: Cases, scenario: Scenario, policy: ReadingPolicy) -> PolicyOutcome:
    """Read the studies of one replication under one policy."""
    known = cases.urgency if policy.perfect else cases.stated(policy.point)
    lines, discipline = policy.waiting(cases.classes)
    line = np.asarray(lines, dtype=np.int8)[known]
    # As lists: the queue reads single elements, which is slow on arrays.
    timeline = run_queue(
        cases.arrived.tolist(),
        cases.reading.tolist(),
        line.tolist(),
        scenario.duty(),
        discipline,
    )
    return summarize(cases, timeline)


def _groups_of_points(scenario: Scenario) -> dict[str, str | None]:
    mix = scenario.case_mix
    points = (None, *(confusion.point for confusion in mix.confusions[1:]))
    return {group: point for point in points for group, *_ in error_groups(mix.names, point)}


def _check_arrivals(scenario: Scenario, log: ArrivalLog) -> None:
    """Raise ScenarioError for a class that cannot arrive: no row is of it, and none without a label can be."""
    unlabelled = bool((log.urgency < 0).any())
    for index, each in enumerate(scenario.urgency):
        if not (log.urgency == index).any() and not (unlabelled and each.prevalence):
            rest = f"and its prevalence is {each.prevalence:g}" if unlabelled else "and every row has another"
            raise ScenarioError(
                f"{scenario.arrivals.log}: no study of {each.name} arrives: no row has its label, {rest}"
            )


def _utilisation(scenario: Scenario, log: ArrivalLog | None) -> float:
    """Return the minutes of reading that arrive in a minute, over readers on duty."""
    per_minute = np.mean(scenario.arrivals.by_hour) / HOUR if log is None else len(log.arrived) / (log.weeks * WEEK)
    classes = scenario.case_mix.classes
    known = np.empty(0, dtype=np.int8) if log is None else log.urgency[log.urgency >= 0]
    counts = np.bincount(known, minlength=len(classes))
    shares = counts / len(known) if len(known) else [each.prevalence for each in classes]
    reading = sum(float(share) * each.reading.mean for share, each in zip(shares, classes, strict=True))
    return float(per_minute) * reading / scenario.duty().mean


def _curve(outcomes: list[PolicyOutcome], group: str) -> Values:
    within = np.sum([one.curves[group] for one in outcomes], axis=0)
    return np.asarray(within / max(sum(one.counts[group] for one in outcomes), 1), dtype=np.float64)
