"""Figures of a cohort or of a group of it, each with its intervals, over the assessed and in the worst case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from triage.statistics.intervals import (
    NO_BOUNDS,
    Bounds,
    Doubles,
    Resampling,
    auc,
    delong,
    exact_interval,
    percentile_interval,
    weighted_auc,
)
from triage.validation.measures.metrics_record import ConfusionRecord, FigureRecord, ValueRecord
from triage.validation.scores.scored import Flags, ScoredCohort

METHODS = {
    "bootstrap": "95 %, patient-clustered bootstrap, percentile, seeded; covers the drawing of patients, neither the "
    "repetition of training nor the choice of the hospital. The main interval; where it knows no spread (all right, "
    "or none), the exact one stands in its place.",
    "delong": "95 %, DeLong et al. 1988 on the logit scale; covers the drawing of images, taken as independent.",
    "exact": "95 %, exact binomial (Clopper-Pearson); covers the drawing of images, taken as independent. Of PPV and "
    "NPV at the site's prevalence: from the exact bounds of sensitivity and specificity at 97.5 % each.",
    "pairs": "95 %, exact binomial over disjoint pairs of a positive and a negative patient; for an AUC of 1 or 0, of "
    "which the other methods know no spread, and where a class has fewer than five patients, too few to know it by.",
    "folds": "mean and standard deviation over folds, as the paper has it; covers neither the drawing of patients nor "
    "anything beyond these folds.",
}
FEW_PATIENTS = 5
"""Fewest patients of a class: with fewer, the bootstrap tells next to nothing about other patients."""
PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


@dataclass(frozen=True)
class Figure:
    """A figure of n images or studies, NaN where it is not defined, with its intervals by the name of their method."""

    value: float
    n: int
    intervals: Mapping[str, Bounds]

    @property
    def lower(self) -> float:
        """Lowest lower bound of all its intervals, NaN without one. Bars are held against it."""
        return min((low for low, _ in self._defined), default=float("nan"))

    @property
    def upper(self) -> float:
        """Highest upper bound of all its intervals, NaN without one."""
        return max((high for _, high in self._defined), default=float("nan"))

    @property
    def _defined(self) -> list[Bounds]:
        return [bounds for bounds in self.intervals.values() if all(np.isfinite(bounds))]

    def record(self) -> FigureRecord:
        """Return the record for metrics.json, with null for what is not defined."""
        intervals = {name: [json_number(low), json_number(high)] for name, (low, high) in self.intervals.items()}
        return {"value": json_number(self.value), "n": self.n, "intervals": intervals}


def main_bounds(figure: ValueRecord) -> Bounds | None:
    """Return the interval to show: the bootstrap's, or the one that stands in for it; None without any."""
    intervals = defined_intervals(figure)
    found = intervals.get("pairs") or intervals.get("bootstrap")
    if found and found[0] == found[1]:
        found = intervals.get("exact", found)
    return found


def defined_intervals(figure: ValueRecord) -> dict[str, Bounds]:
    """Return the intervals whose bounds are both defined, by the name of their method."""
    pairs = {name: (bounds[0], bounds[1]) for name, bounds in figure["intervals"].items()}
    return {name: (low, high) for name, (low, high) in pairs.items() if low is not None and high is not None}


def json_number(value: float) -> float | None:
    """Return the number, or None for NaN and infinity, which JSON does not have."""
    return float(value) if np.isfinite(value) else None


def auc_figure(scored: ScoredCohort, resampling: Callable[[ScoredCohort], Resampling]) -> Figure:
    """Return the AUC with the bootstrap's and DeLong's intervals."""
    if not scored.both_classes:
        return Figure(float("nan"), len(scored), {})
    figures = weighted_auc(scored.labels, scored.scores)
    rounds = resampling(scored).over(lambda weights: figures(weights)[:, np.newaxis])[:, 0]
    intervals = {"bootstrap": percentile_interval(rounds)}
    if min(int(scored.positive.sum()), int((~scored.positive).sum())) > 1:
        intervals["delong"] = delong(scored.labels, scored.scores).interval()
    value = auc(scored.labels, scored.scores)
    pairs = _disjoint_pairs(scored)
    if value in (0.0, 1.0) or pairs < FEW_PATIENTS:
        right = value * pairs  # where it is no whole number, the bound of the next one on either side
        intervals["pairs"] = (exact_interval(floor(right), pairs)[0], exact_interval(ceil(right), pairs)[1])
    return Figure(value, len(scored), intervals)


def _disjoint_pairs(scored: ScoredCohort) -> int:
    """Return the largest number of pairs of a positive and a negative patient that share no patient; at least 1."""
    names = np.asarray(scored.patients)
    positive = set(names[scored.positive].tolist())
    negative = set(names[~scored.positive].tolist())
    return max(min(len(positive - negative), len(negative - positive)), 1)


def share_figure(events: Flags, scored: ScoredCohort, resampling: Callable[[ScoredCohort], Resampling]) -> Figure:
    """Return a proportion of all, with the bootstrap's and the exact interval."""
    if not len(scored):
        return Figure(float("nan"), 0, {})
    happened = np.asarray(events, dtype=np.float64)
    rounds = resampling(scored).over(lambda weights: (weights @ happened / weights.sum(1))[:, np.newaxis])[:, 0]
    exact = exact_interval(int(happened.sum()), len(scored))
    return Figure(float(happened.mean()), len(scored), {"bootstrap": percentile_interval(rounds), "exact": exact})


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix at a threshold."""

    tp: int
    fp: int
    tn: int
    fn: int

    def record(self) -> ConfusionRecord:
        """Return the record for metrics.json."""
        return {"tp": self.tp, "fp": self.fp, "tn": self.tn, "fn": self.fn}


def confusion_columns(scored: ScoredCohort, threshold: float, *, worst: bool) -> Doubles:
    """Return an indicator matrix (n, 4): true positive, false positive, true negative, false negative.

    A row that is neither assessed nor raised is none of these; with ``worst`` it counts as wrong.
    """
    raised, positive = scored.raised(threshold), scored.positive
    unknown = ~scored.assessed & ~raised
    columns = [raised & positive, raised & ~positive, ~raised & ~unknown & ~positive, ~raised & ~unknown & positive]
    if worst:
        columns[1] = columns[1] | (unknown & ~positive)
        columns[3] = columns[3] | (unknown & positive)
    return np.stack(columns, axis=1).astype(np.float64)


def confusion_figures(
    scored: ScoredCohort,
    threshold: float,
    resampling: Callable[[ScoredCohort], Resampling],
    *,
    worst: bool,
    prevalence: float | None = None,
) -> tuple[Confusion, dict[str, Figure]]:
    """Return the confusion matrix and its ratios with intervals; PPV and NPV also at the site's ``prevalence``."""
    columns = confusion_columns(scored, threshold, worst=worst)
    counts = Confusion(*(int(total) for total in columns.sum(0)))
    ratios = _ratios(columns.sum(0)[np.newaxis], prevalence)
    rounds = _ratios(resampling(scored).over(lambda weights: weights @ columns), prevalence) if len(scored) else {}
    found = {}
    for name, values in ratios.items():
        intervals = {"bootstrap": percentile_interval(rounds[name])} if name in rounds else {}
        right, of = _proportion(counts, name)
        if name in PROPORTIONS and of:
            intervals["exact"] = exact_interval(right, of)
        if name.endswith("_at_prevalence") and prevalence is not None and len(scored):
            intervals["exact"] = _exact_at_prevalence(counts, name, prevalence)
        found[name] = Figure(float(values[0]), of, intervals)
    return counts, found


def _exact_at_prevalence(counts: Confusion, name: str, prevalence: float) -> Bounds:
    """Return the range of PPV or NPV over the exact bounds of sensitivity and specificity, at 97.5 % each."""
    sides = [_proportion(counts, each) for each in ("sensitivity", "specificity")]
    if not all(of for _, of in sides):
        return NO_BOUNDS
    bounds = [exact_interval(right, of, 0.975) for right, of in sides]
    low, high = (_predictive(name, bounds[0][end], bounds[1][end], prevalence) for end in (0, 1))
    return low, high


def _predictive(name: str, sensitivity: float, specificity: float, prevalence: float) -> float:
    """Return PPV or NPV; both grow with sensitivity and specificity."""
    positive, negative = prevalence, 1 - prevalence
    right, wrong = sensitivity * positive, (1 - specificity) * negative
    if name == "npv_at_prevalence":
        right, wrong = specificity * negative, (1 - sensitivity) * positive
    return right / (right + wrong) if right + wrong else float("nan")


def _ratios(counts: Doubles, prevalence: float | None) -> dict[str, Doubles]:
    """Return figures (b,) of counts (b, 4), NaN where a denominator is 0."""
    tp, fp, tn, fn = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }
        if prevalence is not None:
            positive, negative = prevalence, 1 - prevalence
            sensitivity, specificity = found["sensitivity"], found["specificity"]
            found["ppv_at_prevalence"] = (
                sensitivity * positive / (sensitivity * positive + (1 - specificity) * negative)
            )
            found["npv_at_prevalence"] = (
                specificity * negative / (specificity * negative + (1 - sensitivity) * positive)
            )
    return found


def _proportion(counts: Confusion, name: str) -> tuple[int, int]:
    """Return successes and trials of a ratio; (0, all) for a figure that is no proportion."""
    total = counts.tp + counts.fp + counts.tn + counts.fn
    return {
        "sensitivity": (counts.tp, counts.tp + counts.fn),
        "specificity": (counts.tn, counts.tn + counts.fp),
        "ppv": (counts.tp, counts.tp + counts.fp),
        "npv": (counts.tn, counts.tn + counts.fn),
        "accuracy": (counts.tp + counts.tn, total),
    }.get(name, (0, total))
