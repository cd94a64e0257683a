"""Classes of urgency: their prevalence, reading time, and the model's predictions for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from triage.setting_types import Section
from triage.simulation.confusion import Confusion, OperatingPoint, row_faults
from triage.simulation.faults import Fault, below
from triage.simulation.reading_time import ReadingTime
from triage.simulation.shares import Share, fault_of_sum

Codes = npt.NDArray[np.int8]

NOT_ASSESSED = "not assessed"
_RESERVED = (NOT_ASSESSED, "not_assessed", "all")  # names of groups of studies that are no class
_OF_GROUPS = (" taken for ", " at ")  # parts of names of groups


class UrgencyClass(Section):
    """A true class of urgency.

    ``predicted``: shares of its assessed studies by predicted class, together 1; a class that is left out has 0. Left
    out for all classes where operating points say it. ``not_assessed``: share of its studies that the model does not
    assess.
    """

    name: str = Field(min_length=1, max_length=40)
    prevalence: Share
    reading: ReadingTime
    predicted: dict[str, Share] = Field(default_factory=dict)
    not_assessed: Share = 0.0


@dataclass(frozen=True)
class CaseMix:
    """The classes of a scenario, the most urgent first, and further operating points of the model.

    In arrays a class is its index here; as a prediction, the number of classes stands for NOT_ASSESSED.
    """

    classes: tuple[UrgencyClass, ...]
    operating_points: tuple[OperatingPoint, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, the most urgent first."""
        return tuple(each.name for each in self.classes)

    @property
    def confusions(self) -> tuple[Confusion, ...]:
        """The confusion of the classes themselves, if they have one, then that of each operating point."""
        own = Confusion("", tuple(each.predicted for each in self.classes))
        others = (Confusion(point.name, point.rows(self.names)) for point in self.operating_points)
        return (*((own,) if all(own.rows) else ()), *others)

    def draw_classes(self, count: int, rng: np.random.Generator) -> Codes:
        """Draw the true classes of ``count`` studies."""
        # Without the last sum, which may lie just below 1.
        limits = np.cumsum([each.prevalence for each in self.classes])[:-1]
        return np.asarray(np.searchsorted(limits, rng.random(count), side="right"), dtype=np.int8)

    def draw_reading(self, classes: Codes, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw the minutes of reading of studies of these true classes."""
        drawn = np.stack([each.reading.draw(len(classes), rng) for each in self.classes])
        return drawn[classes, np.arange(len(classes))]

    def draw_predictions(self, classes: Codes, rng: np.random.Generator) -> dict[str, Codes]:
        """Draw the model's predictions for studies of these true classes, by operating point.

        A study has the same luck at every point, and is assessed at all of them or at none: points differ by what they
        are and not by chance.
        """
        luck = rng.random(len(classes))
        assessed = rng.random(len(classes)) >= np.asarray([each.not_assessed for each in self.classes])[classes]
        found = {}
        for confusion in self.confusions:
            limits = np.cumsum(confusion.matrix(self.names), axis=1)[:, :-1]
            stated = (luck[:, np.newaxis] >= limits[classes]).sum(axis=1, dtype=np.int8)
            found[confusion.point] = np.where(assessed, stated, np.int8(len(self.classes)))
        return found


def case_mix_faults(mix: CaseMix) -> Iterator[Fault]:
    """Yield what is wrong with the classes and operating points, with the keys of a scenario."""
    if not 2 <= len(mix.classes) <= 100:
        yield ("urgency",), "give two classes of urgency or more (100 at most)"
        return
    yield from _name_faults(mix.names)
    if fault := fault_of_sum("the prevalences of all classes", [each.prevalence for each in mix.classes]):
        yield ("urgency",), fault
    if any(each.predicted for each in mix.classes) or not mix.operating_points:
        for place, each in enumerate(mix.classes):
            yield from below(("urgency", place, "predicted"), row_faults(each.name, each.predicted, mix.names))
    for name, count in Counter(point.name for point in mix.operating_points).items():
        if count > 1:
            yield ("operating_point",), f"operating points need names of their own: {name} is there {count} times"
    for place, point in enumerate(mix.operating_points):
        yield from below(("operating_point", place), point.faults(mix.names))


def _name_faults(names: Sequence[str]) -> Iterator[Fault]:
    for place, name in enumerate(names):
        if (
            name in (*_RESERVED, *names[:place])
            or name.startswith("missed ")
            or any(part in name for part in _OF_GROUPS)
        ):
            taken = f"{', '.join(_RESERVED)}, missed …, … taken for … and … at …"
            yield ("urgency", place, "name"), f"classes of urgency need names of their own; {taken} are taken"
