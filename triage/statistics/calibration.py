"""Calibration of probabilities (reliability, Brier score, expected calibration error) and decision curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import brier_score_loss

from triage.statistics.intervals import Bounds, Doubles, Floats, Resampling, exact_interval, percentile_interval

BINS = 10
BINNING = f"{BINS} bins of equal width over 0 to 1, weighted by their images"


@dataclass(frozen=True)
class Bin:
    """Images whose probability lies in [low, high): their number, mean probability and positives."""

    low: float
    high: float
    n: int
    mean_probability: float
    positives: int
    bounds: Bounds

    @property
    def observed(self) -> float:
        """Share of positives."""
        return self.positives / self.n


def reliability(labels: Floats, probabilities: Floats) -> list[Bin]:
    """Return the bins that hold an image; shares of positives have exact intervals."""
    values, positive = np.asarray(probabilities, dtype=np.float64), np.asarray(labels) > 0.5
    found = []
    for number, chosen in ((n, _bin_of(values) == n) for n in range(BINS)):
        count, positives = int(chosen.sum()), int(positive[chosen].sum())
        if count:
            mean = float(values[chosen].mean())
            bounds = exact_interval(positives, count)
            found.append(Bin(number / BINS, (number + 1) / BINS, count, mean, positives, bounds))
    return found


def brier(labels: Floats, probabilities: Floats) -> float:
    """Return the mean squared difference of probability and label (Brier 1950); a constant 0.5 has 0.25."""
    return float(brier_score_loss(np.asarray(labels) > 0.5, probabilities, pos_label=True))


def platt_targets(labels: Floats) -> Doubles:
    """Return what is fitted in the place of labels (Platt 1999), so that separable classes have a finite fit."""
    positives, negatives = int((labels > 0.5).sum()), int((labels < 0.5).sum())
    return np.where(labels > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def calibration_error(labels: Floats, probabilities: Floats) -> float:
    """Return the expected calibration error: mean distance of probability and observed share over the bins."""
    bins = reliability(labels, probabilities)
    return sum(each.n * abs(each.mean_probability - each.observed) for each in bins) / sum(each.n for each in bins)


def brier_and_error_bounds(labels: Floats, probabilities: Floats, resampling: Resampling) -> tuple[Bounds, Bounds]:
    """Return bootstrap intervals of the Brier score and of the calibration error."""
    values, positive = np.asarray(probabilities, dtype=np.float64), (np.asarray(labels) > 0.5).astype(np.float64)
    inside = (_bin_of(values)[:, np.newaxis] == np.arange(BINS)).astype(np.float64)
    squares = (values - positive) ** 2
    excess = (values - positive)[:, np.newaxis] * inside

    def figures(weights: Doubles) -> Doubles:
        total = weights.sum(1)
        return np.stack([weights @ squares / total, np.abs(weights @ excess).sum(1) / total], axis=1)

    rounds = resampling.over(figures)
    return percentile_interval(rounds[:, 0]), percentile_interval(rounds[:, 1])


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit per image at a threshold, of the model and of raising every image; raising none has 0."""

    threshold: float
    model: float
    raise_all: float


def decision_curve(labels: Floats, probabilities: Floats) -> list[NetBenefit]:
    """Return the net benefit after Vickers and Elkin 2006: true positives minus false ones at the threshold's odds."""
    positive, values = np.asarray(labels) > 0.5, np.asarray(probabilities, dtype=np.float64)
    share = float(positive.mean())
    curve = []
    for threshold in np.arange(1, 100) / 100:
        odds, raised = threshold / (1 - threshold), values >= threshold
        benefit = float((raised & positive).mean() - odds * (raised & ~positive).mean())
        curve.append(NetBenefit(float(threshold), benefit, share - float(odds) * (1 - share)))
    return curve


def _bin_of(values: Doubles) -> npt.NDArray[np.intp]:
    return np.asarray(np.minimum((values * BINS).astype(np.intp), BINS - 1))
