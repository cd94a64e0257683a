"""Reading policies: the order in which studies are read, by their predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from triage.setting_types import Section
from triage.simulation.case_mix import NOT_ASSESSED
from triage.simulation.faults import Fault
from triage.simulation.waiting_lines import Discipline, WaitingLine

Cap = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Caps = Annotated[
    Annotated[Cap, Tag("for all")] | Annotated[dict[str, Cap], Tag("by class")],
    Discriminator(lambda given: "by class" if isinstance(given, Mapping) else "for all"),
]
"""Minutes after which a study goes before all others: for all, or for those stated to be of a class."""


class ReadingPolicy(Section):
    """The order of reading, by what the model predicts.

    ``fifo``: by arrival alone. ``priority``: by predicted class, the most urgent first; studies that are not assessed
    together with the least urgent. ``normals last``: the same with the least urgent after those not assessed. Or lists
    of names in the order of reading, with each class and ``not assessed`` once.

    With ``perfect`` the true class replaces the prediction, as of a model without errors. ``point``: the operating
    point of the predictions; None for the first of the scenario.
    """

    name: str = Field(min_length=1, max_length=40)
    order: Literal["fifo", "priority", "normals last"] | tuple[tuple[str, ...], ...] = "priority"
    perfect: bool = False
    preemptive: bool = False
    cap_minutes: Caps | None = None
    point: str | None = None

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

    def faults(self, classes: Sequence[str], points: Sequence[str]) -> Iterator[Fault]:
        """Yield what is wrong with the policy in a scenario of these classes and operating points."""
        try:
            self.levels(classes)
        except ValueError as error:
            yield ("order",), str(error)
        known = (*classes, NOT_ASSESSED)
        for name in self.cap_minutes if isinstance(self.cap_minutes, dict) else ():
            if name not in known:
                yield ("cap_minutes", name), f"a cap of no class: {name}; the classes are {', '.join(known)}"
        if self.point is not None and self.point not in points:
            yield ("point",), f"no operating point {self.point!r}; there are: {', '.join(points) or 'none'}"
        if self.point is not None and self.perfect:
            yield ("point",), "a perfect policy knows the truth, and has no operating point"

    def waiting(self, classes: Sequence[str]) -> tuple[tuple[int, ...], Discipline]:
        """Return the line in which studies stated to be of each of ``classes`` wait (then NOT_ASSESSED), and the rule.

        Classes of one level and one cap wait in one line.
        """
        names = (*classes, NOT_ASSESSED)
        own = [WaitingLine(level, self._cap(name)) for name, level in zip(names, self.levels(classes), strict=True)]
        lines = sorted(set(own), key=lambda line: (line.level, line.cap))
        return tuple(lines.index(line) for line in own), Discipline(tuple(lines), self.preemptive)

    def _cap(self, name: str) -> float:
        cap = self.cap_minutes.get(name) if isinstance(self.cap_minutes, dict) else self.cap_minutes
        return inf if cap is None else cap


FIFO = ReadingPolicy(name="FIFO", order="fifo")
"""The reference of all comparisons."""
