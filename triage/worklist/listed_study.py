"""One study of the list: its decision, and the facts of its patient and images. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from triage.decision.types import Priority, TriageDecision
from triage.worklist.index_keys import microseconds
from triage.worklist.study_facts import UNKNOWN, StudyFacts

_RANK = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A listed study. ``facts`` are empty where they are not known.

    ``arrival`` orders by arrival, as the index does: time of the first object in microseconds, then the study.
    """

    decision: TriageDecision
    facts: StudyFacts = UNKNOWN
    arrival: tuple[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        arrival = microseconds(self.decision.received_at), self.decision.study_instance_uid
        object.__setattr__(self, "arrival", arrival)  # once, as every order compares it

    def is_past_cap(self, cutoff_us: int) -> bool:
        """Return True for a study past the waiting cap: one that arrived before ``cutoff_us`` (0: there is no cap)."""
        return self.arrival[0] < cutoff_us

    def segment(self, cutoff_us: int) -> int:
        """Return the part of the reading order that it is in: 0 past the cap, else 1 to 3 by priority."""
        return 0 if self.arrival[0] < cutoff_us else _RANK[self.decision.priority]
