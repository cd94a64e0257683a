"""PURE: a score at another prevalence than that of the cohort it was calibrated on.

A model learns how often its positives occur. At another prevalence, with the same images of either class, the odds have
to be multiplied by the ratio of the two odds (Bayes; Saerens, Latinne and Decaestecker 2002). No tag depends on it: the
operating point is one of the plain score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from triage.model.card import ModelCard, ModelRefusedError
from triage.model.card_finding import CalibrationFit

_LEAST = 1e-7
"""Beyond this a float32 probability is 0 or 1, and has no logit."""


def at_prevalence(probability: float, fit: CalibrationFit, prevalence: float) -> float:
    """Return the calibrated probability of the positive class at a ``prevalence`` (both 0 to 1, exclusive).

    ``probability``: the model's plain score. Raises ValueError for a fit without the number of its positive images.
    """
    if fit.positives is None:
        raise ValueError("the calibration does not say how many of its images were positive")
    plain = logit(probability, _LEAST)
    learnt = logit(fit.positives / fit.images)
    return logistic(fit.slope * plain + fit.intercept - learnt + logit(prevalence))


def check_prevalence(cards: Mapping[str, ModelCard], prevalence: Mapping[str, float]) -> None:
    """Raise ModelRefusedError for a prevalence of an unknown model, or of one that is not calibrated."""
    for name in sorted(prevalence):
        if name not in cards:
            raise ModelRefusedError(f"models.prevalence has {name}, and no such model is loaded")
        fit = cards[name].calibration_fit
        if fit is None or not fit.positives or fit.positives == fit.images:
            raise ModelRefusedError(
                f"models.prevalence has {name}, whose card does not say on how many positive images it was calibrated: "
                "leave it out, or export the model again"
            )


def logit(probability: float, least: float = 0.0) -> float:
    """Return the log odds of ``probability``, which is kept ``least`` away from 0 and 1."""
    inside = min(max(probability, least), 1 - least)
    return math.log(inside / (1 - inside))


def logistic(value: float) -> float:
    """Return the logistic function of log odds."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
