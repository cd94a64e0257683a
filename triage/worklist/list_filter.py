"""Filter of the list. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.worklist.listed_study import ListedStudy


@dataclass(frozen=True)
class ListFilter:
    """Conditions that a study must meet; an empty one, or None, admits every study.

    ``senders``: calling AE titles. ``views``: of any image. ``age_from`` and ``age_to`` in years, both included; an
    unknown age meets both, as it may be any. ``arrived_within_s``: seconds since its first object came.
    """

    tags: frozenset[Tag] = frozenset()
    urgencies: frozenset[Urgency] = frozenset()
    senders: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()
    age_from: float | None = None
    age_to: float | None = None
    arrived_within_s: float | None = None

    def admits(self, study: ListedStudy, now: float) -> bool:
        """Return whether a study meets all conditions at ``now`` (POSIX seconds)."""
        decision = study.decision
        return (
            (not self.tags or decision.tag in self.tags)
            and (not self.urgencies or decision.urgency in self.urgencies)
            and (not self.senders or decision.calling_ae_title in self.senders)
            and (not self.views or not self.views.isdisjoint(study.facts.view.split(", ")))
            and self._admits_age(study.facts.age_years)
            and (self.arrived_within_s is None or decision.received_at >= now - self.arrived_within_s)
        )

    def _admits_age(self, years: float | None) -> bool:
        if years is None:
            return True
        return (self.age_from is None or years >= self.age_from) and (self.age_to is None or years <= self.age_to)


EVERYTHING = ListFilter()
