"""Labels and scores of a cohort, per image or per study; some images are not assessed."""

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

    A study with a scored image and a refused one has a score and is not assessed: it is raised if the score is high,
    and unknown otherwise.
    """

    labels: Doubles
    scores: Doubles
    assessed: Flags
    patients: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def positive(self) -> Flags:
        """True where the label is 1."""
        return np.asarray(self.labels > 0.5)

    @property
    def both_classes(self) -> bool:
        """True if there is a positive and a negative."""
        return bool(self.positive.any() and not self.positive.all())

    def where(self, keep: Flags) -> ScoredCohort:
        """Return those for which ``keep`` is true."""
        chosen = np.flatnonzero(keep)
        names = [self.patients[int(index)] for index in chosen]
        return ScoredCohort(self.labels[chosen], self.scores[chosen], self.assessed[chosen], names)

    def only_assessed(self) -> ScoredCohort:
        """Return those that were assessed."""
        return self.where(self.assessed)

    def worst_case(self) -> ScoredCohort:
        """Return all, with those not assessed ranked as wrong: a positive below all others, a negative above."""
        worst = np.where(self.positive, -np.inf, np.inf)
        scores = np.where(self.assessed, self.scores, worst)
        return ScoredCohort(self.labels, scores, np.ones(len(self), dtype=bool), self.patients)

    def raised(self, threshold: float) -> Flags:
        """Return for each whether its score is at or above ``threshold``."""
        return np.asarray(self.scores >= threshold)


@dataclass(frozen=True)
class CohortImage:
    """One image of the cohort as it was scored. ``counts``: the result of its study depends on it."""

    name: str
    label: int
    patient: str
    study: str
    probability: float | None
    assessed: bool
    counts: bool


def per_image(images: Sequence[CohortImage]) -> ScoredCohort:
    """Return the cohort per image. The probability of an image that was not assessed is no score."""
    return ScoredCohort(
        np.array([float(image.label) for image in images]),
        np.array([_score(image) for image in images]),
        np.array([image.assessed for image in images], dtype=bool),
        [image.patient for image in images],
    )


def per_study(images: Sequence[CohortImage]) -> ScoredCohort:
    """Return the cohort per study: positive if one of its images is, raised if one is.

    Its score is the highest of its assessed images. It is assessed if each image that counts was, and one does.
    """
    studies: dict[str, list[CohortImage]] = {}
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


def _score(image: CohortImage) -> float:
    return image.probability if image.assessed and image.probability is not None else float("nan")


def _highest(images: Sequence[CohortImage]) -> float:
    scores = [score for score in map(_score, images) if score == score]
    return max(scores, default=float("nan"))
