"""Figures of two-class reading with their intervals, in float64.

SciPy and statsmodels provide what they have; DeLong's variance and weighted AUCs, which they lack, are here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, norm, rankdata, ttest_ind
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Bounds = tuple[float, float]

ROUNDS = 2000
"""Rounds of the bootstrap."""
NO_BOUNDS: Bounds = (float("nan"), float("nan"))


def auc(labels: Floats, scores: Floats) -> float:
    """Return the area under the ROC curve: the probability that a positive scores higher than a negative; ties half.

    Raises ValueError with one class only.
    """
    positive = np.asarray(labels) > 0.5
    count = int(positive.sum())
    if count in (0, len(positive)):
        raise ValueError("an AUC needs both classes")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def auc_within(labels: Floats, scores: Floats, groups: Sequence[str]) -> float:
    """Return the share of correctly ordered pairs of a positive and a negative **of the same group**; ties half.

    A score that only separates the groups has 0.5, however much the groups differ in the label. Raises ValueError if no
    group has both classes.
    """
    value = float(weighted_auc_within(labels, scores, groups)(np.ones((1, len(scores))))[0])
    if np.isnan(value):
        raise ValueError("an AUC within groups needs both classes in one of them")
    return value


def patient_bootstrap(
    figure: Callable[[npt.NDArray[np.int64]], float], patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> Bounds:
    """Return the 95 % percentile interval of ``figure(indices)`` when patients are drawn with replacement.

    Rounds in which the figure is not defined (one class only) are drawn again. Raises ValueError if it hardly ever is.
    """
    low, high = np.percentile(bootstrap_values(figure, patients, rounds=rounds, seed=seed), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_values(
    figure: Callable[[npt.NDArray[np.int64]], float], patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> list[float]:
    """Return ``figure(indices)`` for each round of a patient-clustered bootstrap."""
    names = np.asarray(patients)
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(20 * rounds):
        drawn = rng.integers(0, len(groups), len(groups))
        try:
            values.append(figure(np.concatenate([groups[index] for index in drawn])))
        except ValueError:
            continue
        if len(values) == rounds:
            return values
    raise ValueError("the figure is hardly ever defined when patients are resampled")


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> Bounds:
    """Return the Clopper-Pearson interval of a proportion. Raises ValueError for an impossible one."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


@dataclass(frozen=True)
class DeLong:
    """AUCs of k scores of the same images, and the covariance (k, k) of their errors."""

    aucs: Doubles
    covariance: Doubles

    def interval(self, position: int = 0) -> Bounds:
        """Return the 95 % interval of one AUC, normal on the logit scale, so that it lies within 0 and 1 (Pepe 2003).

        See section 5.2.5. A perfect or perfectly wrong separation has no variance, and so no interval.
        """
        value, variance = float(self.aucs[position]), float(self.covariance[position, position])
        if not 0 < value < 1 or not variance > 0:
            return NO_BOUNDS
        spread = norm.ppf(0.975) * np.sqrt(variance) / (value * (1 - value))
        low, high = (1 / (1 + np.exp(-(np.log(value / (1 - value)) + sign * spread))) for sign in (-1, 1))
        return float(low), float(high)

    def difference(self) -> tuple[float, Bounds, float]:
        """Return first AUC minus second, its 95 % interval, and the two-sided p value of their equality."""
        found = float(self.aucs[0] - self.aucs[1])
        variance = float(self.covariance[0, 0] + self.covariance[1, 1] - 2 * self.covariance[0, 1])
        if not variance > 0:
            return found, ((found, found) if found == 0 else NO_BOUNDS), (1.0 if found == 0 else float("nan"))
        error = np.sqrt(variance)
        reach = norm.ppf(0.975) * error
        return found, (float(found - reach), float(found + reach)), float(2 * norm.sf(abs(found) / error))


def delong(labels: Floats, *scores: Floats, patients: Sequence[str] | None = None) -> DeLong:
    """Return AUCs and their covariance after DeLong et al. 1988, by mid-ranks as Sun and Xu 2014; O(n log n).

    Args:
        labels: Labels (n,).
        scores: Scores (n,) of each model or reader.
        patients: Patients (n,) as clusters (Obuchowski 1997), of either or both classes; by default images are
            independent.

    Raises:
        ValueError: with fewer than two images, or patients, of a class.
    """
    positive = np.asarray(labels) > 0.5
    many, others = int(positive.sum()), int((~positive).sum())
    if min(many, others) < 2:
        raise ValueError("DeLong's variance needs two images of each class")
    of_positives, of_negatives = np.empty((len(scores), many)), np.empty((len(scores), others))
    for row, each in enumerate(scores):
        values = np.asarray(each, dtype=np.float64)
        ranks = rankdata(values)
        of_positives[row] = (ranks[positive] - rankdata(values[positive])) / others
        of_negatives[row] = 1 - (ranks[~positive] - rankdata(values[~positive])) / many
    if patients is not None:
        return DeLong(of_positives.mean(1), _clustered(of_positives, of_negatives, positive, patients))
    covariance = np.atleast_2d(np.cov(of_positives)) / many + np.atleast_2d(np.cov(of_negatives)) / others
    return DeLong(of_positives.mean(1), np.asarray(covariance, dtype=np.float64))


def _clustered(
    of_positives: Doubles, of_negatives: Doubles, positive: npt.NDArray[np.bool_], patients: Sequence[str]
) -> Doubles:
    """Return the covariance (k, k) of AUCs from placements (k, m) and (k, n) (Obuchowski 1997, formula 3)."""
    unique, member_of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    many, others = of_positives.shape[1], of_negatives.shape[1]
    sums, counts = [], []
    for values, members in ((of_positives, member_of[positive]), (of_negatives, member_of[~positive])):
        centred = values - values.mean(1, keepdims=True)
        sums.append(np.array([np.bincount(members, row, minlength=len(unique)) for row in centred]))
        counts.append(len(np.unique(members)))
    if min(counts) < 2:
        raise ValueError("DeLong's variance needs two patients of each class")
    first, second = (
        count / (count - 1) * (of_class @ of_class.T) / images**2
        for count, of_class, images in zip(counts, sums, (many, others), strict=True)
    )
    across = len(unique) / (len(unique) - 1) * (sums[0] @ sums[1].T) / (many * others)
    return np.asarray(first + second + across + across.T, dtype=np.float64)


def disjoint_pairs(labels: Floats, patients: Sequence[str]) -> int:
    """Return the largest number of pairs of a positive and a negative with no patient in two pairs."""
    positive = np.asarray(labels) > 0.5
    names = np.asarray(patients, dtype=str)
    ill, well = set(names[positive]), set(names[~positive])
    return min(len(ill), len(well), len(ill | well) // 2)


class Resampling:
    """Bootstrap draws of patients, seeded, and the same for every figure.

    The weight of an image in a round is the number of times that its patient was drawn. Draws are stored as bytes.
    """

    def __init__(self, patients: Sequence[str], rounds: int = ROUNDS, seed: int = 0) -> None:
        _, member_of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        self._member_of = member_of
        count = int(member_of.max()) + 1
        rng = np.random.default_rng(seed)
        self._drawn = np.concatenate(
            [_counts(rng.integers(0, count, (end - start, count)), count) for start, end in _blocks(rounds)]
        )

    def over(self, figures: Callable[[Doubles], Doubles]) -> Doubles:
        """Return ``figures``, a function from weights (b, n) to (b, k), for all rounds: (rounds, k)."""
        return np.concatenate(
            [
                figures(self._drawn[start:end][:, self._member_of].astype(np.float64))
                for start, end in _blocks(len(self._drawn))
            ]
        )


def _blocks(rounds: int) -> list[tuple[int, int]]:
    return [(start, min(start + 100, rounds)) for start in range(0, rounds, 100)]


def _counts(drawn: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.uint8]:
    """Return the number of times that each of ``count`` patients is in each row of ``drawn``."""
    offset = np.arange(len(drawn))[:, np.newaxis] * count
    counted = np.bincount((drawn + offset).ravel(), minlength=drawn.shape[0] * count)
    return np.minimum(counted, 255).astype(np.uint8).reshape(len(drawn), count)


def percentile_interval(values: Doubles) -> Bounds:
    """Return the 95 % percentile interval of a figure over rounds; NaN if most rounds do not define it."""
    defined = values[np.isfinite(values)]
    if len(defined) * 2 < len(values) or not len(defined):
        return NO_BOUNDS
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def weighted_auc(labels: Floats, scores: Floats) -> Callable[[Doubles], Doubles]:
    """Return a function from weights (b, n) to AUCs (b,), NaN where a class has no weight; sorts once."""
    return weighted_auc_within(labels, scores, [""] * len(scores))


def weighted_auc_within(labels: Floats, scores: Floats, groups: Sequence[str]) -> Callable[[Doubles], Doubles]:
    """Return a function like that of ``weighted_auc``, for pairs within a group; groups count by their pairs."""
    names = np.asarray(groups, dtype=str)
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    parts = [(chosen, _ordered(np.asarray(labels)[chosen], np.asarray(scores)[chosen])) for chosen in members]

    def figures(weights: Doubles) -> Doubles:
        found = [ordered(weights[:, chosen]) for chosen, ordered in parts]
        right, pairs = (np.sum([one[column] for one in found], axis=0) for column in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(right / pairs, dtype=np.float64)

    return figures


def _ordered(labels: Floats, scores: Floats) -> Callable[[Doubles], tuple[Doubles, Doubles]]:
    """Return a function from weights (b, n) to correctly ordered pairs (b,) and all pairs (b,)."""
    order = np.argsort(scores, kind="stable")
    ranked = np.asarray(scores, dtype=np.float64)[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    positive = (np.asarray(labels) > 0.5)[order].astype(np.float64)

    def pairs(weights: Doubles) -> tuple[Doubles, Doubles]:
        sorted_weights = weights[:, order]
        high = np.add.reduceat(sorted_weights * positive, starts, axis=1)
        low = np.add.reduceat(sorted_weights * (1 - positive), starts, axis=1)
        below = np.cumsum(low, axis=1) - low / 2
        return (high * below).sum(1), high.sum(1) * low.sum(1)

    return pairs


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted after Holm 1979, in the given order.

    Each is multiplied by the number of tests that are not smaller, and none falls below a smaller one. A NaN remains
    NaN and counts as a test.
    """
    order = sorted(range(len(p_values)), key=lambda index: (np.isnan(p_values[index]), p_values[index]))
    adjusted, largest = [float("nan")] * len(p_values), 0.0
    for rank, index in enumerate(order):
        if not np.isnan(p_values[index]):
            largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
            adjusted[index] = largest
    return adjusted


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, 0 for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mcnemar(first_right: npt.NDArray[np.bool_], second_right: npt.NDArray[np.bool_]) -> tuple[int, int, float]:
    """Return the images that only the first and only the second got right, and the exact p value (McNemar 1947)."""
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    table = [[int((a & b).sum()) for b in (second, ~second)] for a in (first, ~first)]
    p_value = float(_mcnemar(table, exact=True).pvalue)
    return table[0][1], table[1][0], min(p_value, 1.0)


def t_test(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the paper's two-sided p value: ``ttest_ind`` over the replicates of a figure of two models.

    It covers the repetition of training, not the drawing of the test images. NaN if neither model varies. Raises
    ValueError with fewer than two replicates.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a t-test needs two replicates of each")
    if len(set(first)) == len(set(second)) == 1:
        return float("nan")  # without variation nothing is known of the effect of repetition
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # if one set does not vary
        return float(ttest_ind(first, second).pvalue)
