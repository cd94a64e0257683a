"""Measurements by finding, their macro average, and the rule that combines them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triage.model.card import ModelCard
from triage.model.card_finding import CardFinding
from triage.statistics.intervals import Doubles, percentile_interval, weighted_auc
from triage.validation.cohort.manifest import LABEL_OF
from triage.validation.cohort.members import Member
from triage.validation.measures.cohort_record import ChosenThreshold, Draws, MeasureOptions, measure_unit
from triage.validation.measures.comparison_records import NamedReaderFigures
from triage.validation.measures.figures import Figure, confusion_figures
from triage.validation.measures.finding_records import (
    CallsCase,
    CallsRecord,
    CombinationRecord,
    FindingMeasures,
    FindingsRecord,
    MacroRecord,
)
from triage.validation.measures.metrics_record import CohortMeasurements, PointCase
from triage.validation.measures.versus import Values, reader_figures
from triage.validation.scores.prediction import Prediction
from triage.validation.scores.scored import CohortImage, ScoredCohort, per_image, per_study

_CALL = 0.5  # between the calls 0 and 1
ReaderCalls = Mapping[str, Mapping[str, Values]]
"""Calls of all members by finding and reader."""


@dataclass(frozen=True)
class Measuring:
    """Settings of the measurements, and the draws of the bootstrap."""

    options: MeasureOptions
    draws: Draws


@dataclass(frozen=True)
class LabelledFinding:
    """A finding with the images that are labelled for it: positions in the cohort, images, and calls in force.

    ``calls``: the same images with the score 1 where the threshold in force was reached, else 0.
    """

    finding: CardFinding
    column: str
    positions: tuple[int, ...]
    images: tuple[CohortImage, ...]
    calls: tuple[CohortImage, ...]
    thresholds: tuple[float, ...]


def measure_findings(
    card: ModelCard,
    members: Sequence[Member],
    predictions: Sequence[Prediction],
    readers: ReaderCalls,
    leading: CohortMeasurements,
    measuring: Measuring,
) -> FindingsRecord:
    """Measure each labelled finding, their macro average, and the rule of the tag after combination.

    Args:
        card: The model's card.
        members: The cohort.
        predictions: One for each member.
        readers: Calls of the members by finding and reader.
        leading: Measurements of the leading finding against the column ``label``.
        measuring: Prevalence and bootstrap; the operating points are those of each finding.
    """
    options, draws = measuring.options, measuring.draws
    labelled = labelled_findings(card, members, predictions)
    measured = {each.finding.name for each in labelled}
    return {
        "findings": [_measure(each, members, readers, leading, measuring) for each in labelled],
        "macro_average": _macro(labelled, [member.row.patient for member in members], draws),
        "combined": _combined(card, members, predictions, options, draws),
        "findings_without_labels": [each.name for each in card.findings if each.name not in measured],
        "labels_without_finding": sorted(
            {name for member in members for name in member.row.labels} - {each.name for each in card.findings}
        ),
    }


def labelled_findings(
    card: ModelCard, members: Sequence[Member], predictions: Sequence[Prediction]
) -> list[LabelledFinding]:
    """Return the findings of the card that some image is labelled for, in the card's order."""
    found = [_labelled(each, card, members, predictions) for each in card.findings]
    return [each for each in found if each.images]


def _labelled(
    finding: CardFinding, card: ModelCard, members: Sequence[Member], predictions: Sequence[Prediction]
) -> LabelledFinding:
    own = any(finding.name in member.row.labels for member in members)
    column = LABEL_OF + finding.name if own or finding is not card.leading else "label"
    labels = [member.row.labels.get(finding.name) if own else member.row.label for member in members]
    if not own and finding is not card.leading:
        labels = [None] * len(members)
    positions = tuple(number for number, label in enumerate(labels) if label is not None)
    scores = [predictions[number].score_of(finding.name) for number in positions]
    known = [(members[number], predictions[number], labels[number] or 0) for number in positions]
    values = [None if score is None else score.probability for score in scores]
    calls = [None if score is None else float(score.positive) for score in scores]
    return LabelledFinding(
        finding,
        column,
        positions,
        tuple(_image(*each, value) for each, value in zip(known, values, strict=True)),
        tuple(_image(*each, value) for each, value in zip(known, calls, strict=True)),
        tuple(sorted({score.threshold for score in scores if score is not None})),
    )


def _image(member: Member, found: Prediction, label: int, score: float | None) -> CohortImage:
    return CohortImage(
        found.image, label, member.row.patient, found.study, score, score is not None and found.assessed, found.counts
    )


def _measure(
    labelled: LabelledFinding,
    members: Sequence[Member],
    readers: ReaderCalls,
    leading: CohortMeasurements,
    measuring: Measuring,
) -> FindingMeasures:
    finding, options, draws = labelled.finding, measuring.options, measuring.draws
    image, study = leading["image"], leading["study"]
    if labelled.column != "label":
        points = tuple(ChosenThreshold(each.name, each.threshold, each.chosen) for each in finding.operating_points)
        of_finding = MeasureOptions(points, options.prevalence, options.rounds, options.seed)
        image = measure_unit(per_image(labelled.images), of_finding, draws)
        study = measure_unit(per_study(labelled.images), of_finding, draws)
    return {
        "name": finding.name,
        "title": finding.title,
        "counts": finding.counts,
        "label_column": labelled.column,
        "image": image,
        "study": study,
        "in_force": {"thresholds": list(labelled.thresholds), **_calls(labelled.calls, options, draws)},
        "readers": _readers(labelled, members, readers.get(finding.name, {}), draws),
    }


def _readers(
    labelled: LabelledFinding, members: Sequence[Member], readers: Mapping[str, Values], draws: Draws
) -> list[NamedReaderFigures]:
    labels = [image.label for image in labelled.images]
    patients = [members[number].row.patient for number in labelled.positions]
    return [
        {"name": name, **reader_figures([calls[number] for number in labelled.positions], labels, patients, draws)}
        for name, calls in readers.items()
        if any(calls[number] is not None for number in labelled.positions)
    ]


def _calls(images: Sequence[CohortImage], options: MeasureOptions, draws: Draws) -> CallsRecord:
    return {
        "image": _cases(per_image(images), options, draws),
        "study": _cases(per_study(images), options, draws),
    }


def _cases(scored: ScoredCohort, options: MeasureOptions, draws: Draws) -> CallsCase:
    def case(worst: bool) -> PointCase:
        table, figures = confusion_figures(scored, _CALL, draws, worst=worst, prevalence=options.prevalence)
        return {"confusion": table.record(), "figures": {name: each.record() for name, each in figures.items()}}

    return {"assessed": case(worst=False), "worst_case": case(worst=True)}


def _combined(
    card: ModelCard,
    members: Sequence[Member],
    predictions: Sequence[Prediction],
    options: MeasureOptions,
    draws: Draws,
) -> CombinationRecord | None:
    """Measure the rule of the tag; None if the scores of a finding that counts were not given."""
    counting = [each.name for each in card.findings if each.counts]
    if not set(counting) <= {score.name for found in predictions for score in found.findings}:
        return None
    images = [
        _image(member, found, member.row.label, _any_positive(found, counting))
        for member, found in zip(members, predictions, strict=True)
    ]
    return {"findings": counting, **_calls(images, options, draws)}


def _any_positive(found: Prediction, counting: Sequence[str]) -> float | None:
    """Return 1 if a finding that counts is positive, else 0; None if one of them was not assessed."""
    scores = [found.score_of(name) for name in counting]
    if any(score is not None and score.positive for score in scores):
        return 1.0
    return None if None in scores else 0.0


def _macro(labelled: Sequence[LabelledFinding], patients: Sequence[str], draws: Draws) -> MacroRecord | None:
    """Average the findings; None with fewer than two. Patients are drawn once for all findings of a round."""
    if len(labelled) < 2:
        return None
    return {
        "findings": [each.finding.name for each in labelled],
        "assessed": {name: each.record() for name, each in _macro_figures(labelled, patients, draws, False).items()},
        "worst_case": {name: each.record() for name, each in _macro_figures(labelled, patients, draws, True).items()},
    }


def _macro_figures(
    labelled: Sequence[LabelledFinding], patients: Sequence[str], draws: Draws, worst: bool
) -> dict[str, Figure]:
    everyone = ScoredCohort(
        np.zeros(len(patients)), np.zeros(len(patients)), np.ones(len(patients), dtype=bool), patients
    )
    resampling = draws(everyone)
    once = np.ones((1, len(patients)))
    found = {}
    for name, curve in (("auc", _auc_of), ("sensitivity", _rate_of(1.0)), ("specificity", _rate_of(0.0))):
        curves = [curve(each, worst, len(patients)) for each in labelled]

        def mean(weights: Doubles, curves: Sequence[Callable[[Doubles], Doubles]] = curves) -> Doubles:
            total = np.stack([each(weights) for each in curves])
            return np.asarray(total.mean(0)[:, np.newaxis], dtype=np.float64)

        bounds = percentile_interval(resampling.over(mean)[:, 0])
        found[name] = Figure(float(mean(once)[0, 0]), len(labelled), {"bootstrap": bounds})
    return found


_Curve = Callable[[Doubles], Doubles]


def _auc_of(labelled: LabelledFinding, worst: bool, _count: int) -> _Curve:
    """Return a function from weights (b, count) of the whole cohort to AUCs (b,) of the finding."""
    scored = per_image(labelled.images)
    case = scored.worst_case() if worst else scored.only_assessed()
    positions = np.array(labelled.positions)[scored.assessed | worst]
    if not len(case):
        return lambda weights: np.full(len(weights), np.nan)
    figures = weighted_auc(case.labels, case.scores)
    return lambda weights: figures(weights[:, positions])


def _rate_of(label: float) -> Callable[[LabelledFinding, bool, int], _Curve]:
    """Return sensitivity (label 1) or specificity (0) by the calls in force, as a function of weights."""

    def rate(labelled: LabelledFinding, worst: bool, count: int) -> _Curve:
        scored = per_image(labelled.calls)
        among = (scored.labels == label) & (scored.assessed | worst)
        right = among & scored.assessed & (scored.raised(_CALL) == bool(label))
        columns = np.zeros((count, 2))
        columns[np.array(labelled.positions)] = np.stack([right, among], axis=1)

        def figures(weights: Doubles) -> Doubles:
            totals = weights @ columns
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray(totals[:, 0] / totals[:, 1], dtype=np.float64)

        return figures

    return rate
