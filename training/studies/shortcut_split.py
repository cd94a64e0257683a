"""A split in which training's shortcut does not hold in validation: by the look of the images, not by a draw.

A validation part that is drawn at random shares its shortcuts with training, so a network that reads the look does well
on it. Here validation holds the patients whose images look most like the other class, and training the others, in whom
the look tells the label even better. How a recipe does here says what it learns when the look is there to be learnt; it
is harder than another hospital, and its figures are for comparing recipes and nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.prepare.splits import by_person
from triage.validation.cohort.manifest import Row

Floats = npt.NDArray[np.floating[Any]]


def split_by_look(rows: Sequence[Row], look: Floats, share: float) -> list[Row]:
    """``rows`` as ``val``, about ``share`` of the images of either label, and ``train``; whole persons, no folds.

    ``look`` (n,) is the chance of label 1 that the look of each image gives (``shortcuts.look_score``). Raises
    TrainingError for a share with which one side would be empty of a label.
    """
    unlike = np.where([row.label == 1 for row in rows], 1 - look, look)
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[by_person(row)].append(place)
    total = Counter(row.label for row in rows)
    wanted = {label: round(share * images) for label, images in total.items()}
    left = Counter(wanted)
    taken = set()
    for person in sorted(places, key=lambda person: (-float(unlike[places[person]].mean()), person)):
        images = Counter(rows[place].label for place in places[person])
        if all(left[label] >= number for label, number in images.items()):
            taken.add(person)
            left.subtract(images)
    for label, number in sorted(total.items()):
        if not 0 < wanted[label] - left[label] < number:
            raise TrainingError(f"a share of {share:g} leaves training or validation without label {label}")
    return [replace(row, split="val" if by_person(row) in taken else "train", fold=None) for row in rows]
