"""Reading policies: the order in which studies are read, by their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from pydantic import Field

from triage.setting_types import Section
from triage.simulation.case_mix import NOT_ASSESSED
from triage.simulation.queues import Discipline


class ReadingPolicy(Section):
    """The order of reading, by what the model predicts.

    ``fifo``: by arrival alone. ``priority``: by predicted class, the most urgent first; studies that are not assessed
    together with the least urgent. ``normals last``: the same with the least urgent after those not assessed. Or lists
    of names in the order of reading, with each class and ``not assessed`` once.

    With ``perfect`` the true class replaces the prediction, as of a model without errors.
    """

    name: str = Field(min_length=1, max_length=40)
    order: Literal["fifo", "priority", "normals last"] | tuple[tuple[str, ...], ...] = "priority"
    perfect: bool = False
    preemptive: bool = False
    cap_minutes: float | None = Field(None, gt=0)

    def levels(self, classes: Sequence[str]) -> tuple[int, ...]:
        """Return the priority of each of ``classes`` (the most urgent first), then of NOT_ASSESSED; 0 is read first.

        Raises ValueError for an order that does not name each of them once.
        """
        last = len(classes) - 1
        if self.order == "fifo":
            return (0,) * (last + 2)
        if self.order == "priority":
            return (*range(last), last, last)
        if self.order == "normals last":
            return (*range(last), last + 1, last)
        named = [(name, level) for level, names in enumerate(self.order) for name in names]
        wanted = (*classes, NOT_ASSESSED)
        if sorted(name for name, _ in named) != sorted(wanted):
            raise ValueError(f"the order of policy {self.name} has to name each of these once: {', '.join(wanted)}")
        return tuple(dict(named)[name] for name in wanted)

    def discipline(self, classes: Sequence[str]) -> Discipline:
        """Return the queue discipline for these classes."""
        cap = inf if self.cap_minutes is None else self.cap_minutes
        return Discipline(levels=max(self.levels(classes)) + 1, cap=cap, preemptive=self.preemptive)


FIFO = ReadingPolicy(name="FIFO", order="fifo")
"""The reference of all comparisons."""
