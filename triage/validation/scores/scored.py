"""What was measured: labels, scores, and what was not assessed, per image or per study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triage.statistics.intervals import Doubles

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScoredCohort:
    """n images or studies: ``labels`` 0 or 1, ``scores`` NaN where there is none, ``assessed``, ``patients``.

    A study of which one image was scored and another was refused has a score and is not assessed: it is raised if the
    score is high, and otherwise unknown.
    """

    labels: Doubles
    scores: Doubles
    assessed: Flags
    patients: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def positive(self) -> Flags:
        """Where the label is 1."""
        return np.asarray(self.labels > 0.5)

    @property
    def both_classes(self) -> bool:
        """Whether there is a positive and a negative."""
        return bool(self.positive.any() and not self.positive.all())

    def where(self, keep: Flags) -> ScoredCohort:
        """Those for which ``keep`` is true."""
        chosen = np.flatnonzero(keep)
        names = [self.patients[int(index)] for index in chosen]
        return ScoredCohort(self.labels[chosen], self.scores[chosen], self.assessed[chosen], names)

    def only_assessed(self) -> ScoredCohort:
        """Without what was not assessed."""
        return self.where(self.assessed)

    def worst_case(self) -> ScoredCohort:
        """What was not assessed ranks as wrong in either class: a positive below all others, a negative above."""
        worst = np.where(self.positive, -np.inf, np.inf)
        scores = np.where(self.assessed, self.scores, worst)
        return ScoredCohort(self.labels, scores, np.ones(len(self), dtype=bool), self.patients)

    def raised(self, threshold: float) -> Flags:
        """Where the score is at or above ``threshold``."""
        return np.asarray(self.scores >= threshold)


@dataclass(frozen=True)
class ScoredImage:
    """One image of the cohort as it was scored. ``counts`` is whether its study has to take it into account."""

    name: str
    label: int
    patient: str
    study: str
    probability: float | None
    assessed: bool
    counts: bool


def per_image(images: Sequence[ScoredImage]) -> ScoredCohort:
    """Every image for itself. A probability of what was not assessed is no score."""
    return ScoredCohort(
        np.array([float(image.label) for image in images]),
        np.array([_score(image) for image in images]),
        np.array([image.assessed for image in images], dtype=bool),
        [image.patient for image in images],
    )


def per_study(images: Sequence[ScoredImage]) -> ScoredCohort:
    """Every study once (DESIGN: a study): positive if an image of it is, raised if an image is.

    Its score is the highest of its assessed images. It is assessed if each image that counts was, and one does.
    """
    studies: dict[str, list[ScoredImage]] = {}
    for image in images:
        studies.setdefault(image.study, []).append(image)
    groups = list(studies.values())
    counted = [[image for image in group if image.counts] for group in groups]
    return ScoredCohort(
        np.array([float(max(image.label for image in group)) for group in groups]),
        np.array([_highest(group) for group in counted]),
        np.array([bool(group) and all(image.assessed for image in group) for group in counted], dtype=bool),
        [group[0].patient for group in groups],
    )


def _score(image: ScoredImage) -> float:
    return image.probability if image.assessed and image.probability is not None else float("nan")


def _highest(images: Sequence[ScoredImage]) -> float:
    scores = [score for score in map(_score, images) if score == score]
    return max(scores, default=float("nan"))
