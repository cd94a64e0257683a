"""What the faults cost: times without a leader and without an acknowledgement, and results that were sent again."""

from __future__ import annotations

from dataclasses import dataclass

from tests.acceptance.hosts.bounds import (
    LEADER_S,
    NEEDS,
    REDIS,
    SILENCE_S,
    TO_STORE,
    beyond,
    leader_s,
    not_left,
    of_engines,
    sent_without_cause,
)
from tests.acceptance.hosts.checks import Verdict
from tests.acceptance.hosts.pacs import Pacs, Results
from tests.acceptance.hosts.trial import ADDRESSES, Trial
from tests.acceptance.hosts.watches import LeaderWatch, WorkWatch, listener, worker


@dataclass(frozen=True)
class Watched:
    """What was looked at all the time."""

    leaders: LeaderWatch
    work: WorkWatch


def judge_costs(trial: Trial, pacs: Pacs, results: Results, watched: Watched, verdict: Verdict) -> None:
    """Hold all of it against the bounds that follow from the settings."""
    _bounded(trial, pacs, watched.leaders, verdict)
    for cut in trial.way_cuts:
        named = worker if cut.engine == REDIS else listener
        others = [named(host) for host in ADDRESSES if host != cut.host]
        for fault in not_left(cut, watched.work.looks, named(cut.host), others):
            verdict.faults.append(fault)
    causes = [(each.since, each.until + LEADER_S) for each in trial.outages]
    causes += [(since, until + LEADER_S) for since, until in watched.leaders.gaps["deliver"]]
    again = sent_without_cause(results.sendings, causes)
    verdict.figures["sent_again"] = sum(len(moments) - 1 for moments in results.sendings.values())
    verdict.expect(not again, f"{len(again)} results were sent again without a cause: {again[:3]}")


def _bounded(trial: Trial, pacs: Pacs, leaders: LeaderWatch, verdict: Verdict) -> None:
    verdict.figures["without_a_leader_s"] = {
        role: [(round(since - trial.began, 1), round(until - since, 1)) for since, until in gaps]
        for role, gaps in leaders.gaps.items()
    }
    verdict.figures["bounds_s"] = {"without a leader": LEADER_S, "without an acknowledgement": SILENCE_S}
    for role, gaps in leaders.gaps.items():
        away = of_engines(trial.outages, NEEDS[role])
        bounds = {gap: leader_s(gap, trial.way_cuts, trial.outages) for gap in gaps}
        found = {gap: beyond([gap], away, bound) for gap, bound in bounds.items()}
        long = [f"{words}, bound {bounds[gap]:.0f} s" for gap, each in found.items() for words in each]
        verdict.expect(not long, f"no process of role {role} led for longer than it may: {long}")
    verdict.expect(not leaders.gone, f"nothing leads at the end: {sorted(leaders.gone)}")
    long = beyond(pacs.silences(), of_engines(trial.outages, TO_STORE), SILENCE_S + pacs.every_s)
    verdict.expect(not long, f"nothing was acknowledged for longer than {SILENCE_S:.0f} s: {long}")
