"""Several trainings, reduced to the images that every one of them scored."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, Self, TypeVar

import numpy as np

from training.errors import TrainingError
from triage.statistics.intervals import Floats


class _Labelled(Protocol):
    @property
    def labels(self) -> Floats: ...

    def take(self, places: Sequence[int], /) -> Self: ...


T = TypeVar("T", bound=_Labelled)


def on_common_images(trainings: Sequence[T], images: Callable[[T], Sequence[Hashable]]) -> list[T]:
    """Return the trainings with the ``images`` that every one scored, in the first one's order.

    Raises TrainingError if there are none, or labels differ.
    """
    places = [{image: number for number, image in enumerate(images(one))} for one in trainings]
    order = [image for image in images(trainings[0]) if all(image in place for place in places)]
    if not order:
        raise TrainingError("no image was scored by both")
    found = [one.take([place[image] for image in order]) for one, place in zip(trainings, places, strict=True)]
    if any(not np.array_equal(found[0].labels, one.labels) for one in found):
        raise TrainingError("the two have other labels for the same images")
    return found
