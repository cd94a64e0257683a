"""Classes of urgency: their prevalence, reading time, and the model's predictions for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from triage.setting_types import Section
from triage.simulation.reading_time import ReadingTime

Codes = npt.NDArray[np.int8]
Share = Annotated[float, Field(ge=0, le=1)]

NOT_ASSESSED = "not assessed"
_RESERVED = (NOT_ASSESSED, "all")  # names of groups of studies that are no class
_ROUNDING = 1e-6  # of sums of shares that were typed as decimals


class Urgency(Section):
    """A true class of urgency.

    ``predicted``: shares of its assessed studies by predicted class, together 1; a class that is left out has 0.
    ``not_assessed``: share of its studies that the model does not assess.
    """

    name: str = Field(min_length=1, max_length=40)
    prevalence: Share
    reading: ReadingTime
    predicted: dict[str, Share]
    not_assessed: Share = 0.0


@dataclass(frozen=True)
class CaseMix:
    """The classes of a scenario, the most urgent first.

    In arrays a class is its index here; as a prediction, the number of classes stands for NOT_ASSESSED.
    """

    classes: tuple[Urgency, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, the most urgent first."""
        return tuple(each.name for each in self.classes)

    def draw_classes(self, count: int, rng: np.random.Generator) -> Codes:
        """Draw the true classes of ``count`` studies."""
        # Without the last sum, which may lie just below 1.
        limits = np.cumsum([each.prevalence for each in self.classes])[:-1]
        return np.asarray(np.searchsorted(limits, rng.random(count), side="right"), dtype=np.int8)

    def draw_reading(self, classes: Codes, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw the minutes of reading of studies of these true classes."""
        drawn = np.stack([each.reading.draw(len(classes), rng) for each in self.classes])
        return drawn[classes, np.arange(len(classes))]

    def draw_predictions(self, classes: Codes, rng: np.random.Generator) -> Codes:
        """Draw the model's predictions for studies of these true classes."""
        rows = [[each.predicted.get(name, 0.0) for name in self.names] for each in self.classes]
        limits = np.cumsum(rows, axis=1)[:, :-1]
        above = rng.random(len(classes))[:, np.newaxis] >= limits[classes]
        predicted: Codes = above.sum(axis=1, dtype=np.int8)
        unassessed = rng.random(len(classes)) < np.asarray([each.not_assessed for each in self.classes])[classes]
        predicted[unassessed] = len(self.classes)
        return predicted


def check_classes(classes: Sequence[Urgency]) -> None:
    """Raise ValueError unless there are two classes or more, with different names, and all shares add up to 1."""
    names = [each.name for each in classes]
    if not 2 <= len(names) <= 100:
        raise ValueError("give two classes of urgency or more (100 at most)")
    if len(set(names)) < len(names) or any(name in _RESERVED or name.startswith("missed ") for name in names):
        raise ValueError(f"classes of urgency need names of their own; {', '.join(_RESERVED)} and missed … are taken")
    _check_sum("the prevalences of all classes", [each.prevalence for each in classes])
    for each in classes:
        if unknown := set(each.predicted) - set(names):
            raise ValueError(f"{each.name} is predicted to be of no class: {', '.join(sorted(unknown))}")
        _check_sum(f"what {each.name} is predicted to be", list(each.predicted.values()))


def _check_sum(description: str, shares: Sequence[float]) -> None:
    if abs(sum(shares) - 1) > _ROUNDING:
        raise ValueError(f"{description} must add up to 1, not {sum(shares):g}")
