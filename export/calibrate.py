"""Thresholds and calibration, fitted on held-out scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from training.runs.scores import sigmoid
from triage.model.wrapping import Curve
from triage.statistics.calibration import platt_targets
from triage.statistics.intervals import exact_interval

Floats = npt.NDArray[np.floating]
Method = Literal["platt", "temperature", "none"]
FEWEST = 10
"""Least number of images of either class for a calibration."""


def fit_curve(labels: Floats, logits: Floats, method: Method) -> Curve | None:
    """Fit Platt scaling (slope and intercept) or temperature scaling (slope only), by maximum likelihood.

    Platt's (1999) softened targets keep separable classes finite. Return None with fewer than ten images of a class,
    and where the scores run against the labels (no positive slope fits).
    """
    positives, negatives = int((labels > 0.5).sum()), int((labels < 0.5).sum())
    if method == "none" or min(positives, negatives) < FEWEST:
        return None
    target = platt_targets(labels)

    def loss(parameters: Floats) -> float:
        slope, intercept = parameters[0], parameters[1] if method == "platt" else 0.0
        margin = slope * logits + intercept
        return float((np.logaddexp(0, margin) - target * margin).mean())

    start = [1.0, 0.0] if method == "platt" else [1.0]
    found = minimize(loss, np.array(start), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}).x
    if not found[0] > 0:
        return None
    return Curve(float(found[0]), float(found[1]) if method == "platt" else 0.0)


def apply(curve: Curve, logits: Floats) -> Floats:
    """Return calibrated probabilities (n,)."""
    return sigmoid(curve.slope * logits + curve.intercept)


def brier(labels: Floats, probabilities: Floats) -> float:
    """Return the mean squared difference of probability and label (Brier score)."""
    return float(((probabilities - labels) ** 2).mean())


def threshold_for(labels: Floats, probabilities: Floats, target_sensitivity: float) -> float | None:
    """Return the highest threshold whose sensitivity has an exact 95 % lower bound of at least ``target_sensitivity``.

    Rounded down to four digits; None if there are too few positives for any.
    """
    positives = np.sort(probabilities[labels > 0.5])
    for missed in range(len(positives) - 1, -1, -1):
        if exact_interval(len(positives) - missed, len(positives))[0] >= target_sensitivity:
            return float(np.floor(positives[missed] * 1e4) / 1e4)
    return None
