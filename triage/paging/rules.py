"""PURE: when a study is paged, and how many pages an hour may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triage.decision.types import TriageDecision
from triage.decision.urgency import Urgency
from triage.paging.event import PagingEvent
from triage.paging.quiet_hours import QuietHours

READING, QUIET = "reading", "quiet"
"""Names of the two rotas."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class PagingRules:
    """The site's rules, in seconds.

    ``after_s``: from the raise to the first page, if no reader opens the study. ``repeat_s``: from a page, or from the
    last time that a reader opened or acknowledged the study, to the next page, until it is read. ``cap_per_hour``:
    pages in any hour; more wait, and are shown as waiting. ``quiet``: when the quiet rota is paged instead.
    ``urgencies``: those of the studies that are paged.
    """

    after_s: float
    repeat_s: float
    cap_per_hour: int
    quiet: QuietHours | None = None
    urgencies: frozenset[Urgency] = frozenset((Urgency.CRITICAL, Urgency.URGENT))

    def pages(self, decision: TriageDecision) -> bool:
        """Return True if a study with this decision is paged while it is not read."""
        return decision.urgency in self.urgencies and not decision.prior and not decision.silent

    def rota(self, now: float) -> str:
        """Return the rota that is paged ``now``."""
        return QUIET if self.quiet is not None and self.quiet.includes(now) else READING

    def due_at(self, event: PagingEvent) -> float:
        """Return when the study is paged next, in POSIX seconds, if nothing happens until then."""
        if event.pending is not None:
            return event.pending.since
        if event.number == 0 and event.contact_at is None:
            return event.since + self.after_s
        return max(event.last_page_at or event.since, event.contact_at or event.since) + self.repeat_s

    def room(self, sent: Sequence[float], now: float) -> int:
        """Return how many more pages may be sent now; ``sent`` are the times of earlier ones."""
        return self.cap_per_hour - len(within_the_hour(sent, now))


def within_the_hour(sent: Sequence[float], now: float) -> list[float]:
    """Return the times within the hour before ``now``; a time of a clock that was ahead counts as now."""
    return [min(each, now) for each in sent if each > now - HOUR_S]
