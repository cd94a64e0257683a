"""A split by the appearance of the images, so that training's shortcut does not hold in validation.

A validation part drawn at random shares its shortcuts with training, so a network that reads appearance does well on
it. Here validation holds the patients whose images appear most like the other class, and training the others, in whom
appearance tells the label even better. The figures show what a recipe learns where appearance is easy to learn. The
split is harder than another hospital; its figures are for comparing recipes only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.prepare.splits import by_person
from triage.validation.cohort.manifest import Row

Floats = npt.NDArray[np.floating]


def split_by_appearance(rows: Sequence[Row], appearance: Floats, share: float) -> list[Row]:
    """Return ``rows`` as ``val``, about ``share`` of the images of either label, and ``train``, by whole persons.

    ``appearance`` (n,) is the probability of label 1 by appearance alone (``shortcuts.appearance_score``). Raises
    TrainingError for a share with which one side would have no image of a label.
    """
    unlike = np.where([row.label == 1 for row in rows], 1 - appearance, appearance)
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
