"""Measurements of one cohort, as the records of metrics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sklearn.metrics import roc_curve

from triage.model.card import ModelCard
from triage.statistics import calibration
from triage.statistics.intervals import Resampling, auc
from triage.statistics.sample_size import allowed_misses, fewest_for, most_certifiable, positives_needed
from triage.validation.measures.figures import Figure, auc_figure, confusion_figures, json_number, share_figure
from triage.validation.measures.metrics_record import (
    BinRecord,
    CalibrationRecord,
    CohortMeasurements,
    CountsRecord,
    Figures,
    FoldsRecord,
    HistogramRecord,
    MeanRecord,
    NetBenefitRecord,
    NotAssessedRecord,
    PointCase,
    PointRecord,
    RocPoint,
    SampleSizeRecord,
    UnitRecord,
)
from triage.validation.scores.predictions import Prediction
from triage.validation.scores.scored import CohortImage, ScoredCohort, per_image, per_study

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class ChosenThreshold:
    """An operating point: its name, its threshold, and how it was chosen."""

    name: str
    threshold: float
    chosen: str


@dataclass(frozen=True)
class MeasureOptions:
    """Settings of the measurements: operating points (the first is in force), the site's prevalence, the bootstrap."""

    points: tuple[ChosenThreshold, ...]
    prevalence: float | None = None
    rounds: int = 2000
    seed: int = 0


class Draws:
    """Draws of the bootstrap, made once for each set of patients and shared by all its figures."""

    def __init__(self, rounds: int, seed: int) -> None:
        self._make = lru_cache(maxsize=4)(lambda patients: Resampling(patients, rounds, seed))

    def __call__(self, scored: ScoredCohort) -> Resampling:
        """Return the draws of the patients of ``scored``."""
        return self._make(tuple(scored.patients))


def operating_points(
    card: ModelCard | None, operating_point: float | None, chosen: str = "models.operating_point of the settings"
) -> tuple[ChosenThreshold, ...]:
    """Return the operating point in force, the paper's 0.5 and those of the card, one for each threshold.

    ``operating_point``: that of the site, None where the card's is in force; ``chosen``: how.
    """
    card_points = card.operating_points if card else ()
    if operating_point is None:
        operating_point = card.leading.threshold if card else 0.5
    known = [
        ChosenThreshold("site", operating_point, chosen),
        ChosenThreshold("0.5", 0.5, "fixed in advance, as Tang et al. 2020"),
        *(ChosenThreshold(point.name, point.threshold, point.chosen) for point in card_points),
    ]
    if operating_point == 0.5:
        del known[0]
    found: dict[float, ChosenThreshold] = {}
    for point in known:
        found.setdefault(point.threshold, point)
    return tuple(found.values())


def measure_cohort(images: Sequence[CohortImage], options: MeasureOptions, draws: Draws) -> CohortMeasurements:
    """Measure both units, calibration, decision curve, histogram, ROC, and the bounds that the cohort can certify."""
    scored = per_image(images)
    image = measure_unit(scored, options, draws)
    single = len({each.study for each in images}) == len(images)
    assessed = scored.only_assessed()
    return {
        "image": image,
        "study": image if single else measure_unit(per_study(images), options, draws),
        "roc": roc_points(assessed),
        "histogram": _histogram(assessed),
        "calibration": _calibration(scored, draws),
        "decision_curve": _decision_curve(assessed),
        "sample_size": sample_size(scored),
    }


def measure_unit(scored: ScoredCohort, options: MeasureOptions, draws: Draws) -> UnitRecord:
    """Measure figures per image or per study, over the assessed and in the worst case."""
    cases = {"assessed": scored.only_assessed(), "worst_case": scored.worst_case()}
    return {
        **count_labels(scored),
        "coverage": share_figure(scored.assessed, scored, draws).record(),
        "auc": {name: auc_figure(case, draws).record() for name, case in cases.items()},
        "points": [_at_point(scored, point, options, draws) for point in options.points],
    }


def count_labels(scored: ScoredCohort) -> CountsRecord:
    """Count positives, negatives and patients."""
    positives = int(scored.positive.sum())
    return {
        "n": len(scored),
        "positives": positives,
        "negatives": len(scored) - positives,
        "patients": len(set(scored.patients)),
        "prevalence": json_number(positives / len(scored)) if len(scored) else None,
    }


def count_not_assessed(predictions: Sequence[Prediction]) -> list[NotAssessedRecord]:
    """Count the images that were not assessed by reason and class, most frequent reason first."""
    missing = [each for each in predictions if not each.assessed]
    totals = Counter(reason for each in missing for reason in each.reasons)
    positives = Counter(reason for each in missing if each.label for reason in each.reasons)
    return [
        {"reason": reason, "n": n, "positives": positives[reason], "negatives": n - positives[reason]}
        for reason, n in totals.most_common()
    ]


def fold_figures(images: Sequence[CohortImage], folds: Sequence[int | None], threshold: float) -> FoldsRecord | None:
    """Return mean and standard deviation over folds, as in the paper; None unless two folds hold both classes."""
    scored = per_image(images).worst_case()
    known = np.array([-1 if fold is None else fold for fold in folds])
    parts = [scored.where(known == fold) for fold in sorted(set(known[known >= 0].tolist()))]
    parts = [part for part in parts if part.both_classes]
    if len(parts) < 2:
        return None
    aucs = [auc(part.labels, part.scores) for part in parts]
    sensitivities = [float(part.raised(threshold)[part.positive].mean()) for part in parts]
    specificities = [float((~part.raised(threshold))[~part.positive].mean()) for part in parts]
    return {
        "folds": len(parts),
        "auc": _mean(aucs),
        "sensitivity": _mean(sensitivities),
        "specificity": _mean(specificities),
    }


def sample_size(scored: ScoredCohort) -> SampleSizeRecord:
    """Return the numbers of positives that stated bounds need, and the bounds that this cohort can certify."""
    positives, negatives = int(scored.positive.sum()), int((~scored.positive).sum())
    bounds = (0.8, 0.85, 0.9, 0.95, 0.98)
    return {
        "needs": [
            {
                "lower_bound": bound,
                "fewest_with_all_found": fewest_for(bound),
                "for_a_true_value_halfway_to_1": positives_needed(bound, (1 + bound) / 2),
                "misses_allowed_here": allowed_misses(positives, bound),
                "false_alarms_allowed_here": allowed_misses(negatives, bound),
            }
            for bound in bounds
        ],
        "highest_sensitivity_bound_here": most_certifiable(positives),
        "highest_specificity_bound_here": most_certifiable(negatives),
    }


def _mean(values: Sequence[float]) -> MeanRecord:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}


def _at_point(scored: ScoredCohort, point: ChosenThreshold, options: MeasureOptions, draws: Draws) -> PointRecord:
    def case(worst: bool) -> PointCase:
        table, figures = confusion_figures(scored, point.threshold, draws, worst=worst, prevalence=options.prevalence)
        return {"confusion": table.record(), "figures": {name: figure.record() for name, figure in figures.items()}}

    return {
        "name": point.name,
        "threshold": point.threshold,
        "chosen": point.chosen,
        "assessed": case(worst=False),
        "worst_case": case(worst=True),
    }


def roc_points(assessed: ScoredCohort) -> list[RocPoint]:
    """Return the corners of the ROC curve; empty with one class only."""
    if not assessed.both_classes:
        return []
    false_rate, true_rate, thresholds = roc_curve(assessed.labels, assessed.scores)
    rows = zip(false_rate.tolist(), true_rate.tolist(), thresholds.tolist(), strict=True)
    return [
        {"false_positive_rate": fpr, "true_positive_rate": tpr, "threshold": json_number(threshold)}
        for fpr, tpr, threshold in rows
    ]


def _histogram(assessed: ScoredCohort) -> HistogramRecord:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    return {
        "edges": edges.round(4).tolist(),
        "positives": np.histogram(assessed.scores[assessed.positive], edges)[0].tolist(),
        "negatives": np.histogram(assessed.scores[~assessed.positive], edges)[0].tolist(),
    }


def _calibration(scored: ScoredCohort, draws: Draws) -> CalibrationRecord:
    """Measure the calibration; in the worst case an image not assessed has probability 1 of the wrong class."""
    worst = np.where(scored.assessed, scored.scores, 1 - scored.labels)
    everything = np.ones(len(scored), dtype=bool)
    assessed, worst_case = scored.only_assessed(), ScoredCohort(scored.labels, worst, everything, scored.patients)
    return {
        "binning": calibration.BINNING,
        "assessed": _calibration_figures(assessed, draws),
        "worst_case": _calibration_figures(worst_case, draws),
        "bins": [_bin(each) for each in calibration.reliability(assessed.labels, assessed.scores)],
    }


def _bin(found: calibration.Bin) -> BinRecord:
    return {
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "mean_probability": found.mean_probability,
        "positives": found.positives,
        "bounds": list(found.bounds),
        "observed": found.observed,
    }


def _calibration_figures(case: ScoredCohort, draws: Draws) -> Figures:
    n = len(case)
    if not n:
        return {name: Figure(float("nan"), 0, {}).record() for name in ("brier", "ece")}
    brier_bounds, error_bounds = calibration.brier_and_error_bounds(case.labels, case.scores, draws(case))
    brier = Figure(calibration.brier(case.labels, case.scores), n, {"bootstrap": brier_bounds})
    error = Figure(calibration.calibration_error(case.labels, case.scores), n, {"bootstrap": error_bounds})
    return {"brier": brier.record(), "ece": error.record()}


def _decision_curve(assessed: ScoredCohort) -> list[NetBenefitRecord]:
    if not len(assessed):
        return []
    curve = calibration.decision_curve(assessed.labels, assessed.scores)
    return [{"threshold": each.threshold, "model": each.model, "raise_all": each.raise_all} for each in curve]
