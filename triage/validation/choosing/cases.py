"""Cases that choose operating points, and others that check them: by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

import numpy as np

from triage.model.points_entry import PointCases, PointFigure, PointStratum
from triage.validation.choosing.rule import FIGURES, ChoiceError, bounds_at, trials_at
from triage.validation.choosing.strata import has
from triage.validation.cohort.manifest import hides_patient
from triage.validation.cohort.members import Member, ValidationCohort
from triage.validation.measures.by_finding import LabelledFinding
from triage.validation.measures.paper import digest_of
from triage.validation.scores.prediction import Prediction
from triage.validation.scores.scored import CohortImage, ScoredCohort, per_study

CHOOSING_SHARE = 1 / 3
"""Share of the patients who choose: the smaller part, since the others certify."""
CHOSE = "the third of its positive and of its negative patients with the lowest SHA-256 of their identifiers"
CHECKED = "its other patients"


@dataclass(frozen=True)
class Case:
    """One image with the label and score of a finding."""

    member: Member
    prediction: Prediction
    image: CohortImage


@dataclass(frozen=True)
class Cases:
    """Images of some patients of a cohort. ``split``: which of its patients, in words; empty: all."""

    cohort: ValidationCohort
    cases: tuple[Case, ...]
    split: str = ""

    def of(self, stratum: PointStratum) -> Cases:
        """Return the cases of a stratum."""
        kept = tuple(each for each in self.cases if has(stratum, each.prediction))
        return Cases(self.cohort, kept, self.split)

    @property
    def studies(self) -> ScoredCohort:
        """The cohort per study."""
        return per_study([each.image for each in self.cases])

    def patients(self, label: int) -> set[str]:
        """Return the patients with a positive study (label 1), or those without any (0)."""
        positive = {each.image.patient for each in self.cases if each.image.label}
        return positive if label else {each.image.patient for each in self.cases} - positive

    def record(self, threshold: float, confidence: float, *, with_images: bool) -> PointCases:
        """Return the record for a point's provenance, with the figures at its threshold."""
        scored = self.studies
        return PointCases(
            manifest=self.cohort.manifest.name,
            manifest_sha256=self.cohort.sha256,
            images_sha256=digest_of((each.member.name, each.image.label) for each in self.cases),
            split=self.split,
            studies=len(scored),
            patients=len(set(scored.patients)),
            positive_patients=len(self.patients(1)),
            negative_patients=len(self.patients(0)),
            figures=_figures(scored, threshold, confidence),
            images=tuple(sorted({each.member.digest[:16] for each in self.cases})) if with_images else (),
        )


def cases_of(cohort: ValidationCohort, labelled: LabelledFinding, predictions: Sequence[Prediction]) -> Cases:
    """Return the cases of a finding in a cohort. Raises ChoiceError if its patients are not known."""
    if any(hides_patient(cohort.members[number].row.patient) for number in labelled.positions):
        raise ChoiceError(
            f"--choose: {cohort.manifest} names images in the place of patients: bounds by patient are not known"
        )
    return Cases(
        cohort,
        tuple(
            Case(cohort.members[number], predictions[number], image)
            for number, image in zip(labelled.positions, labelled.images, strict=True)
        ),
    )


def divided(cases: Cases) -> tuple[Cases, Cases]:
    """Return the cases that choose, and those that check: no patient is in both.

    A third of the positive patients and a third of the others choose, those whose identifiers have the lowest SHA-256.
    """
    choosing: set[str] = set()
    for label in (0, 1):
        ordered = sorted(cases.patients(label), key=lambda name: sha256(name.encode()).hexdigest())
        choosing |= set(ordered[: ceil(len(ordered) * CHOOSING_SHARE)])
    first = tuple(each for each in cases.cases if each.image.patient in choosing)
    rest = tuple(each for each in cases.cases if each.image.patient not in choosing)
    return Cases(cases.cohort, first, CHOSE), Cases(cases.cohort, rest, CHECKED)


def check_apart(choosing: ValidationCohort, checking: ValidationCohort) -> None:
    """Raise ChoiceError if two cohorts have a patient or an image file in common."""
    patients = {each.row.patient for each in choosing.members} & {each.row.patient for each in checking.members}
    files = {each.digest for each in choosing.members} & {each.digest for each in checking.members}
    if patients or files:
        raise ChoiceError(
            f"--check-cohort: {checking.manifest.name} has {len(patients)} patients and {len(files)} image files in "
            "common with the cohort that chooses: a point is checked on other cases"
        )


def _figures(scored: ScoredCohort, threshold: float, confidence: float) -> dict[str, PointFigure]:
    found: dict[str, PointFigure] = {}
    for name in FIGURES:
        among, right = trials_at(scored, threshold, name)
        count = int(among.sum())
        if count:
            low, high = bounds_at(scored, threshold, name, confidence)
            found[name] = PointFigure(value=float(np.sum(right)) / count, low=low, high=high, n=count)
    return found
