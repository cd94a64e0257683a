"""Everything that is measured of one cohort, as the record that metrics.json and the report are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from triage.model.card import ModelCard
from triage.statistics import calibration
from triage.statistics.intervals import Resampling, auc
from triage.statistics.sample_size import allowed_misses, fewest_for, most_certifiable, positives_needed
from triage.validation.measures.figures import Figure, auc_figure, confusion_figures, number, share_figure
from triage.validation.scores.predictions import Prediction
from triage.validation.scores.scored import ScoredCohort, ScoredImage, per_image, per_study

HISTOGRAM_BINS = 20
CASES = ("assessed", "worst_case")


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, its name, and how it was chosen."""

    name: str
    threshold: float
    chosen: str


@dataclass(frozen=True)
class MeasureOptions:
    """How to measure: at which points (the first is the one that is in force), the site's prevalence, the bootstrap."""

    points: tuple[ChosenThreshold, ...]
    prevalence: float | None = None
    rounds: int = 2000
    seed: int = 0


class Draws:
    """The bootstrap's draws: made once for each set of patients, for all figures of it."""

    def __init__(self, rounds: int, seed: int) -> None:
        self._make = lru_cache(maxsize=4)(lambda patients: Resampling(patients, rounds, seed))

    def __call__(self, scored: ScoredCohort) -> Resampling:
        return self._make(tuple(scored.patients))


def points_of(card: ModelCard | None, operating_point: float) -> tuple[ChosenThreshold, ...]:
    """The site's operating point, the paper's 0.5, and those of the card; one of each threshold."""
    card_points = card.operating_points if card else ()
    known = [
        ChosenThreshold("site", operating_point, "models.operating_point of the settings"),
        ChosenThreshold("0.5", 0.5, "fixed in advance, as Tang et al. 2020"),
        *(ChosenThreshold(point.name, point.threshold, point.chosen) for point in card_points),
    ]
    if operating_point == 0.5:
        del known[0]
    found: dict[float, ChosenThreshold] = {}
    for point in known:
        found.setdefault(point.threshold, point)
    return tuple(found.values())


def measured(images: Sequence[ScoredImage], options: MeasureOptions, draws: Draws) -> dict[str, Any]:
    """Both units, calibration, decision curve, histograms, ROC, and what the cohort can certify."""
    scored = per_image(images)
    image = unit(scored, options, draws)
    single = len({each.study for each in images}) == len(images)
    assessed = scored.only_assessed()
    return {
        "image": image,
        "study": image if single else unit(per_study(images), options, draws),
        "roc": roc_of(assessed),
        "histogram": _histogram(assessed),
        "calibration": _calibration(scored, draws),
        "decision_curve": _decision_curve(assessed),
        "sample_size": sample_size(scored),
    }


def unit(scored: ScoredCohort, options: MeasureOptions, draws: Draws) -> dict[str, Any]:
    """Figures per image or per study, over the assessed and in the worst case."""
    cases = dict(zip(CASES, (scored.only_assessed(), scored.worst_case()), strict=True))
    return {
        **counts(scored),
        "coverage": share_figure(scored.assessed, scored, draws).record(),
        "auc": {name: auc_figure(case, draws).record() for name, case in cases.items()},
        "points": [_at_point(scored, point, options, draws) for point in options.points],
    }


def counts(scored: ScoredCohort) -> dict[str, Any]:
    """How many there are."""
    positives = int(scored.positive.sum())
    return {
        "n": len(scored),
        "positives": positives,
        "negatives": len(scored) - positives,
        "patients": len(set(scored.patients)),
        "prevalence": number(positives / len(scored)) if len(scored) else None,
    }


def coverage_reasons(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Why images were not assessed: how many, of each class, most frequent first."""
    missing = [each for each in predictions if not each.assessed]
    totals = Counter(reason for each in missing for reason in each.reasons)
    positives = Counter(reason for each in missing if each.label for reason in each.reasons)
    return [
        {"reason": reason, "n": n, "positives": positives[reason], "negatives": n - positives[reason]}
        for reason, n in totals.most_common()
    ]


def over_folds(images: Sequence[ScoredImage], folds: Sequence[int | None], threshold: float) -> dict[str, Any] | None:
    """The paper's own: mean and standard deviation over folds. None with fewer than two that hold both classes."""
    scored = per_image(images).worst_case()
    known = np.array([-1 if fold is None else fold for fold in folds])
    parts = [scored.where(known == fold) for fold in sorted(set(known[known >= 0].tolist()))]
    parts = [part for part in parts if part.both_classes]
    if len(parts) < 2:
        return None
    figures = [_plain(part, threshold) for part in parts]
    return {
        "folds": len(parts),
        **{
            name: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
            for name, values in ((name, [each[name] for each in figures]) for name in figures[0])
        },
    }


def sample_size(scored: ScoredCohort) -> dict[str, Any]:
    """How many positives a stated bound needs, and what this cohort can and cannot certify."""
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


def _plain(part: ScoredCohort, threshold: float) -> dict[str, float]:
    raised, positive = part.raised(threshold), part.positive
    return {
        "auc": auc(part.labels, part.scores),
        "sensitivity": float(raised[positive].mean()),
        "specificity": float((~raised)[~positive].mean()),
    }


def _at_point(scored: ScoredCohort, point: ChosenThreshold, options: MeasureOptions, draws: Draws) -> dict[str, Any]:
    found: dict[str, Any] = asdict(point)
    for case in CASES:
        table, figures = confusion_figures(
            scored, point.threshold, draws, worst=case == "worst_case", prevalence=options.prevalence
        )
        records = {name: figure.record() for name, figure in figures.items()}
        found[case] = {"confusion": asdict(table), "figures": records}
    return found


def roc_of(assessed: ScoredCohort) -> list[dict[str, float | None]]:
    """The corners of the ROC curve; empty with one class only."""
    if not assessed.both_classes:
        return []
    false_rate, true_rate, thresholds = roc_curve(assessed.labels, assessed.scores)
    names = ("false_positive_rate", "true_positive_rate", "threshold")
    rows = zip(false_rate.tolist(), true_rate.tolist(), thresholds.tolist(), strict=True)
    return [dict(zip(names, (fpr, tpr, number(threshold)), strict=True)) for fpr, tpr, threshold in rows]


def _histogram(assessed: ScoredCohort) -> dict[str, Any]:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    groups = (("positives", assessed.positive), ("negatives", ~assessed.positive))
    return {
        "edges": edges.round(4).tolist(),
        **{name: np.histogram(assessed.scores[chosen], edges)[0].tolist() for name, chosen in groups},
    }


def _calibration(scored: ScoredCohort, draws: Draws) -> dict[str, Any]:
    """In the worst case an image that was not assessed had a probability of 1 for the wrong class."""
    worst = np.where(scored.assessed, scored.scores, 1 - scored.labels)
    everything = np.ones(len(scored), dtype=bool)
    cases = (scored.only_assessed(), ScoredCohort(scored.labels, worst, everything, scored.patients))
    bins = calibration.reliability(cases[0].labels, cases[0].scores)
    return {
        "binning": calibration.BINNING,
        **{name: _calibration_figures(case, draws) for name, case in zip(CASES, cases, strict=True)},
        "bins": [{**asdict(each), "bounds": list(each.bounds), "observed": each.observed} for each in bins],
    }


def _calibration_figures(case: ScoredCohort, draws: Draws) -> dict[str, Any]:
    n = len(case)
    if not n:
        return {name: Figure(float("nan"), 0, {}).record() for name in ("brier", "ece")}
    brier_bounds, error_bounds = calibration.brier_and_error_bounds(case.labels, case.scores, draws(case))
    brier = Figure(calibration.brier(case.labels, case.scores), n, {"bootstrap": brier_bounds})
    error = Figure(calibration.calibration_error(case.labels, case.scores), n, {"bootstrap": error_bounds})
    return {"brier": brier.record(), "ece": error.record()}


def _decision_curve(assessed: ScoredCohort) -> list[Mapping[str, float]]:
    return (
        [asdict(each) for each in calibration.decision_curve(assessed.labels, assessed.scores)] if len(assessed) else []
    )
