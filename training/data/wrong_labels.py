"""Labels turned round on purpose: what a share of wrong labels among the training images costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.config import TargetConfig
from training.data.cases import TrainingCase
from training.data.targets import Floats
from training.files import write_text

RECORD = "wrong_labels.txt"
_DRAW = 0x1AB  # keeps this draw apart from the seed's others


def drawn(cases: Sequence[TrainingCase], share: float, seed: int) -> frozenset[Path]:
    """Return the images whose labels are turned: ``share`` of ``cases``, those of a smaller share among a larger's."""
    images = sorted({case.image for case in cases})
    order = np.random.default_rng((seed, _DRAW)).permutation(len(images))
    return frozenset(images[place] for place in order[: round(share * len(images))])


def turned(
    matrix: Floats, cases: Sequence[TrainingCase], wrong: frozenset[Path], targets: Mapping[str, TargetConfig]
) -> Floats:
    """Return targets (n, outputs) with every known class of the images ``wrong`` turned: 1 to 0, and 0 to 1."""
    rows = np.array([case.image in wrong for case in cases], dtype=bool)
    classes = np.array([target.kind == "class" for target in targets.values()])
    return np.where(rows[:, None] & classes, 1 - matrix, matrix)


def record(folder: Path, cases: Sequence[TrainingCase], wrong: frozenset[Path]) -> None:
    """Write the names of the pictures (of the files, where pictures have none) whose labels are turned."""
    names = sorted({case.picture or case.image.name for case in cases if case.image in wrong})
    write_text(folder / RECORD, "".join(f"{name}\n" for name in names))
