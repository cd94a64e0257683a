"""PURE: urgency of findings, from a table by finding. Never from a score: a probability is no severity (ADR 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Urgency(StrEnum):
    """Urgency of what was found in a study, as Annarumma et al. 2019 class reports; the most urgent first."""

    CRITICAL = "critical"
    URGENT = "urgent"
    NONURGENT = "nonurgent"
    NORMAL = "normal"
    NOT_ASSESSED = "not_assessed"

    @property
    def raises(self) -> bool:
        """True if a study of this urgency goes before the others of its order's priority."""
        return self in (Urgency.CRITICAL, Urgency.URGENT)


OF_POSITIVES = (Urgency.CRITICAL, Urgency.URGENT, Urgency.NONURGENT)
"""The classes that a positive finding may have."""

URGENCY_RANK = {urgency: rank for rank, urgency in enumerate(Urgency)}


def lowers(before: Urgency, now: Urgency) -> bool:
    """Return True if ``now`` takes back a part of what a positive finding of urgency ``before`` raised."""
    return before in OF_POSITIVES and URGENCY_RANK[now] > URGENCY_RANK[before]


EVERY_OTHER = "*"
"""The entry of a table for the findings that it does not name."""


@dataclass(frozen=True)
class UrgencyTable:
    """A site's urgency of each positive finding, by the finding's name; the entry ``*`` is for all others."""

    classes: Mapping[str, Urgency] = field(default_factory=lambda: {EVERY_OTHER: Urgency.URGENT})

    def of(self, finding: str) -> Urgency:
        """Return the urgency of a positive finding. A finding that the table forgets is urgent."""
        return self.classes.get(finding) or self.classes.get(EVERY_OTHER) or Urgency.URGENT

    def has(self, finding: str) -> bool:
        """Return True if the table says something of the finding."""
        return finding in self.classes or EVERY_OTHER in self.classes


SHIPPED_TABLE = UrgencyTable()
"""Every positive finding is urgent; none is critical."""
