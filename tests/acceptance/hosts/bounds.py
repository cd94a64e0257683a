"""Bounds of what a fault may cost, by the settings of hosts and balancer, and what goes beyond them. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from triage.settings.sections.postgres import PostgresSettings
from triage.settings.sections.redis import RedisSettings
from triage.settings.sections.store import StoreSettings

DATABASE, BUCKET, REDIS = "PostgreSQL", "the bucket", "Redis"
NEEDS = {"sweep": {DATABASE, REDIS}, "deliver": {DATABASE, BUCKET}, "reports": {DATABASE, BUCKET}}
"""The engines without which no process of a role can lead and work.

That of `reports` reads the images of a study to compare them with a report that came before it. The list of a store in
PostgreSQL is a table, so it needs no Redis.
"""
TO_STORE = {DATABASE, BUCKET}
"""The engines without which every C-STORE is refused."""

LEASE_S = StoreSettings().lease_s
LOOKS = 10
"""Times that a standby looks while a lease lasts."""
ROUND_S = 10.0
"""Seconds after which the first round of a new leader ends, and it says that it works."""
LEADER_S = LEASE_S + LEASE_S / LOOKS + ROUND_S
"""The longest time without a leader, but for that in which the engines are away."""
TRY_S = 5.0 + RedisSettings().timeout_s
"""Seconds between two failures of a sweep: its interval in the trial, and the time for an answer."""
UNABLE_S = LEADER_S + LEASE_S + TRY_S
"""The same where a leader lives and has lost its way to an engine alone: it tries for a lease, and once more."""

PATIENCE_S = 45.0
"""Seconds that the PACS waits for an answer before it gives an association up."""
PROBE_S = 2.0 + 5.0 + 1.0
"""Seconds until a listener says that its store is silent: its answer is fresh, old, and waited for."""
NOTICE_S = 2 * (1.0 + 3.0)
"""Seconds until the balancer has seen it: two checks, one a second, of which each may take three."""
LEFT_S = PROBE_S + NOTICE_S
"""The longest time until the balancer leaves a listener that has lost its way to an engine.

A worker that has lost Redis is asked as often, and by the same kind of probe.
"""
BACK_S = 10.0 + PostgresSettings().statement_timeout_s + 5.0 + NOTICE_S
"""The longest time until it has it again: a connection, a statement and its answer that still wait, and its checks."""
SILENCE_S = PATIENCE_S + LEFT_S
"""The longest time without an acknowledgement while the engines are there."""


@dataclass(frozen=True)
class Outage:
    """A time in which engines were away for all hosts, until they were whole again, in seconds of one clock.

    Someone's promotion of a standby, and the start of a server by hand, are in it.
    """

    engines: frozenset[str]
    since: float
    until: float


@dataclass(frozen=True)
class WayCut:
    """A time in which one host alone had lost its way to one engine."""

    host: str
    engine: str
    since: float
    until: float


@dataclass(frozen=True)
class Look:
    """One look at the hosts: of each name (a listener in the balancer, a worker) whether it takes work."""

    at: float
    takes: Mapping[str, bool]


Period = tuple[float, float]


def leader_s(period: Period, cuts: Iterable[WayCut], events: Iterable[Outage] = ()) -> float:
    """Return the bound of a time without a leader: that which began while a host had lost its way may be longer.

    Each event that happens meanwhile may hit the process that has just taken the lead: it is waited for once more.
    """
    first = UNABLE_S if any(each.since <= period[0] <= each.until for each in cuts) else LEADER_S
    return first + LEADER_S * sum(period[0] < each.since < period[1] for each in events)


def longest_outside(period: Period, outages: Iterable[Outage]) -> float:
    """Return the seconds of the longest part of a period in which no outage was."""
    left, until = period
    longest = 0.0
    for each in sorted(outages, key=lambda outage: outage.since):
        longest = max(longest, min(each.since, until) - left)
        left = max(left, each.until)
    return max(longest, until - left)


def of_engines(outages: Iterable[Outage], engines: Collection[str]) -> list[Outage]:
    """Return the outages of at least one of these engines."""
    return [each for each in outages if each.engines & set(engines)]


def beyond(periods: Iterable[Period], outages: Sequence[Outage], bound_s: float) -> list[str]:
    """Return in words each period that was longer than the bound, not counting outages."""
    found = [(since, longest_outside((since, until), outages)) for since, until in periods]
    return [f"{length:.0f} s from {since:.0f} s on" for since, length in found if length > bound_s]


def periods_between(moments: Iterable[float]) -> list[Period]:
    """Return the periods between moments in order."""
    return list(pairwise(sorted(moments)))


def undocumented(answers: Iterable[str]) -> list[str]:
    """Return the refusals that the conformance statement does not have for an object that is whole.

    These are a status other than 0xA700, and a rejection for ever (result 1).
    """
    return [each for each in answers if (each.startswith("0x") and each != "0xA700") or "rejected (1" in each]


def more_than_decided(told: Mapping[str, Collection[str]], decisions: Mapping[str, int]) -> list[str]:
    """Return the studies of which more different results were sent than were decided. Each one is sent at least once:
    the same again has the same name, and does not count here."""
    return [study for study, count in decisions.items() if len(told.get(study, ())) > count]


def sent_without_cause(sendings: Mapping[str, Sequence[float]], causes: Sequence[Period]) -> list[str]:
    """Return what was sent more often than once, and once more for each event or change of the lead around it.

    ``causes``: when each event, and each time without a deliverer, began and when its last effect is over.
    """

    def allowed(moments: Sequence[float]) -> int:
        return 1 + sum(since <= max(moments) and until >= min(moments) for since, until in causes)

    return [name for name, moments in sendings.items() if len(moments) > allowed(moments)]


def not_left(cut: WayCut, looks: Sequence[Look], name: str, others: Collection[str]) -> list[str]:
    """Return in words what did not hold while one host had lost its way to an engine, and after it.

    ``name``, its listener, or its worker where it is Redis, takes no work, soon and as long as that lasts; one of
    ``others`` does at each look; and it does again by itself.
    """
    words = f"while host {cut.host} had lost its way to {cut.engine}"
    during = [each for each in looks if cut.since <= each.at <= cut.until]
    late = [each for each in during if each.at > cut.since + LEFT_S]
    after = [each for each in looks if each.at > cut.until]
    faults = []
    if not late or any(each.takes[name] for each in late):
        faults.append(f"{words}, {name} was not left for as long as that lasted, from {LEFT_S:.0f} s on")
    if alone := [each for each in during if not any(each.takes[other] for other in others)]:
        faults.append(f"{words}, no other one took work at {alone[0].at:.0f} s")
    if not any(each.takes[name] for each in after if each.at <= cut.until + BACK_S):
        faults.append(f"after {cut.engine} was there again for host {cut.host}, {name} was not back in {BACK_S:.0f} s")
    return faults
