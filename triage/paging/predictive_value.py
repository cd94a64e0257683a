"""PURE: the positive predictive value of a result at a prevalence, from what the model's card states."""

from __future__ import annotations

import math
from dataclasses import dataclass

from triage.model.card_finding import Interval, OperatingPoint

_SAME = 1e-6


@dataclass(frozen=True)
class PredictiveValue:
    """A positive predictive value: at the card's figures, and at the ends of their intervals that are worst and best.

    ``approximate``: the card calls its figures so.
    """

    value: float
    low: float
    high: float
    prevalence: float
    approximate: bool


def predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float:
    """Return the share of true positives among positives (Bayes); each argument from 0 to 1.

    Raises ValueError where nothing is ever positive.
    """
    positives = sensitivity * prevalence
    everything = positives + (1 - specificity) * (1 - prevalence)
    if not everything > 0:
        raise ValueError("nothing is positive")
    return positives / everything


def at_operating_point(
    points: tuple[OperatingPoint, ...], threshold: float | None, prevalence: float | None
) -> PredictiveValue | None:
    """Return the value at the operating point of this threshold; None if the card or the site does not state enough."""
    if threshold is None or prevalence is None:
        return None
    for point in points:
        if math.isclose(point.threshold, threshold, abs_tol=_SAME) and point.sensitivity and point.specificity:
            return _at(point.sensitivity, point.specificity, prevalence, point.approximate)
    return None


def _at(sensitivity: Interval, specificity: Interval, prevalence: float, approximate: bool) -> PredictiveValue | None:
    try:
        return PredictiveValue(
            predictive_value(sensitivity.value, specificity.value, prevalence),
            predictive_value(sensitivity.low, specificity.low, prevalence),
            predictive_value(sensitivity.high, specificity.high, prevalence),
            prevalence,
            approximate,
        )
    except ValueError:
        return None
