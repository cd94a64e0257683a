"""The figures of one cohort or one group of it, each with its intervals, over the assessed and in the worst case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

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
"""Of a class: with fewer, drawing them anew says next to nothing of how others would score."""
PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


@dataclass(frozen=True)
class Figure:
    """A figure of n images or studies; NaN where they do not define it. ``intervals`` by the name of their method."""

    value: float
    n: int
    intervals: Mapping[str, Bounds]

    @property
    def lower(self) -> float:
        """The lowest lower bound of all its intervals, NaN without one: what a bar is held against."""
        return min((low for low, _ in self._defined), default=float("nan"))

    @property
    def upper(self) -> float:
        """The highest upper bound."""
        return max((high for _, high in self._defined), default=float("nan"))

    @property
    def _defined(self) -> list[Bounds]:
        return [bounds for bounds in self.intervals.values() if all(np.isfinite(bounds))]

    def record(self) -> dict[str, Any]:
        """As JSON: what is not defined is null."""
        intervals = {name: [number(low), number(high)] for name, (low, high) in self.intervals.items()}
        return {"value": number(self.value), "n": self.n, "intervals": intervals}


def main_bounds(figure: Mapping[str, Any]) -> tuple[float, float] | None:
    """Of a figure's record the interval to show: the bootstrap's, or that which stands in for it; None without one."""
    intervals = {name: bounds for name, bounds in figure["intervals"].items() if None not in bounds}
    found = intervals.get("pairs") or intervals.get("bootstrap")
    if found and found[0] == found[1]:
        found = intervals.get("exact", found)
    return (found[0], found[1]) if found else None


def number(value: float) -> float | None:
    """NaN and infinity have no JSON."""
    return float(value) if np.isfinite(value) else None


def auc_figure(scored: ScoredCohort, resampling: Callable[[ScoredCohort], Resampling]) -> Figure:
    """AUC with the bootstrap's and DeLong's intervals."""
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
    """How many pairs of a positive and a negative patient there are of whom no two share a patient."""
    names = np.asarray(scored.patients)
    ill = set(names[scored.positive].tolist())
    well = set(names[~scored.positive].tolist())
    return max(min(len(ill - well), len(well - ill)), 1)


def share_figure(events: Flags, scored: ScoredCohort, resampling: Callable[[ScoredCohort], Resampling]) -> Figure:
    """A proportion of all, with the bootstrap's and the exact interval."""
    if not len(scored):
        return Figure(float("nan"), 0, {})
    happened = np.asarray(events, dtype=np.float64)
    rounds = resampling(scored).over(lambda weights: (weights @ happened / weights.sum(1))[:, np.newaxis])[:, 0]
    exact = exact_interval(int(happened.sum()), len(scored))
    return Figure(float(happened.mean()), len(scored), {"bootstrap": percentile_interval(rounds), "exact": exact})


@dataclass(frozen=True)
class Confusion:
    """Counts at a threshold."""

    tp: int
    fp: int
    tn: int
    fn: int


def confusion_columns(scored: ScoredCohort, threshold: float, *, worst: bool) -> Doubles:
    """Per row (n, 4) whether it is a true positive, false positive, true negative, false negative.

    What is neither assessed nor raised is none of these, or in the worst case wrong.
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
    """Counts and their ratios with intervals; PPV and NPV also at the site's ``prevalence``."""
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
    """The figure's range over the exact bounds of sensitivity and specificity, at 97.5 % each."""
    sides = [_proportion(counts, each) for each in ("sensitivity", "specificity")]
    if not all(of for _, of in sides):
        return NO_BOUNDS
    bounds = [exact_interval(right, of, 0.975) for right, of in sides]
    low, high = (_predictive(name, bounds[0][end], bounds[1][end], prevalence) for end in (0, 1))
    return low, high


def _predictive(name: str, sensitivity: float, specificity: float, prevalence: float) -> float:
    """PPV or NPV; both grow with both."""
    ill, well = prevalence, 1 - prevalence
    right, wrong = sensitivity * ill, (1 - specificity) * well
    if name.startswith("npv"):
        right, wrong = specificity * well, (1 - sensitivity) * ill
    return right / (right + wrong) if right + wrong else float("nan")


def _ratios(counts: Doubles, prevalence: float | None) -> dict[str, Doubles]:
    """Figures (b,) of counts (b, 4); NaN where a denominator is nought."""
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
            ill, well = prevalence, 1 - prevalence
            sensitivity, specificity = found["sensitivity"], found["specificity"]
            found["ppv_at_prevalence"] = sensitivity * ill / (sensitivity * ill + (1 - specificity) * well)
            found["npv_at_prevalence"] = specificity * well / (specificity * well + (1 - sensitivity) * ill)
    return found


def _proportion(counts: Confusion, name: str) -> tuple[int, int]:
    """Successes and trials of a ratio; for what is no proportion all of them."""
    total = counts.tp + counts.fp + counts.tn + counts.fn
    return {
        "sensitivity": (counts.tp, counts.tp + counts.fn),
        "specificity": (counts.tn, counts.tn + counts.fp),
        "ppv": (counts.tp, counts.tp + counts.fp),
        "npv": (counts.tn, counts.tn + counts.fn),
        "accuracy": (counts.tp + counts.tn, total),
    }.get(name, (0, total))
