"""Measured figures in the form of the card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from training.runs.scores import RunScores
from triage.model.card_finding import Interval, Performance
from triage.statistics.intervals import auc, auc_within, delong, disjoint_pairs, exact_interval, patient_bootstrap

DELONG = "95 %, DeLong, clustered by patient, on the logit scale; covers the drawing of patients, not the training"
PAIRS = "95 %, exact binomial over pairs of a positive and a negative with no patient twice, all of which agree"
NO_INTERVAL = "no interval: the scores do not vary, or a class has one patient"
BOOTSTRAP = "95 %, patient-clustered bootstrap, 2,000 rounds; covers the drawing of patients, not the training"
EXACT = "95 %, exact binomial, images taken as independent"

Floats = npt.NDArray[np.floating]


def performance(
    scored: RunScores, cohort: str, reference: str, held_out_how: str, thresholds: Mapping[str, float]
) -> Performance:
    """Return AUC, and sensitivity and specificity at each named threshold, with intervals; both classes are needed."""
    figures = {"auc": auc_interval(scored)}
    for name, threshold in thresholds.items():
        figures[f"sensitivity at {name}"] = sensitivity(scored, threshold)
        figures[f"specificity at {name}"] = specificity(scored, threshold)
    return Performance(cohort=cohort, reference=reference, held_out_how=held_out_how, figures=figures)


def has_both_classes(scored: RunScores) -> bool:
    """Return True if an AUC is defined."""
    return bool(0 < (scored.labels > 0.5).sum() < len(scored.labels))


def auc_interval(scored: RunScores) -> Interval:
    """Return the AUC with DeLong's interval, or an exact one where the classes are wholly apart."""
    return _auc_of(scored, scored.logits)


def within_views(scored: RunScores) -> Interval:
    """Return the AUC over pairs of one view only, so that telling views apart earns nothing. Raises ValueError."""
    labels, scores, views = scored.labels, scored.logits, np.asarray(scored.views)
    low, high = patient_bootstrap(
        lambda some: auc_within(labels[some], scores[some], list(views[some])), scored.patients
    )
    return _interval(auc_within(labels, scores, scored.views), low, high, BOOTSTRAP, len(scores))


def view_alone(scored: RunScores) -> Interval:
    """Return the AUC of "AP" as the only predictor: what a model could reach by reading the projection."""
    return _auc_of(scored, np.array([float(view == "AP") for view in scored.views]))


def _auc_of(scored: RunScores, scores: Floats) -> Interval:
    value = auc(scored.labels, scores)
    if value in (0.0, 1.0):
        pairs = disjoint_pairs(scored.labels, scored.patients)
        low, high = exact_interval(round(value) * pairs, pairs) if pairs else (0.0, 1.0)
        return _interval(value, low, high, PAIRS, len(scores))
    try:
        low, high = delong(scored.labels, scores, patients=scored.patients).interval()
    except ValueError:  # one patient of a class
        low = high = float("nan")
    if not np.isfinite([low, high]).all():
        return _interval(value, 0.0, 1.0, NO_INTERVAL, len(scores))
    return _interval(value, low, high, DELONG, len(scores))


def sensitivity(scored: RunScores, threshold: float) -> Interval:
    """Return the share of positives at or above the threshold."""
    return share(scored.probabilities[scored.labels > 0.5] >= threshold)


def specificity(scored: RunScores, threshold: float) -> Interval:
    """Return the share of negatives below the threshold."""
    return share(scored.probabilities[scored.labels < 0.5] < threshold)


def share(events: npt.NDArray[np.bool_]) -> Interval:
    """Return a proportion with its exact interval."""
    low, high = exact_interval(int(events.sum()), len(events))
    return _interval(float(events.mean()), low, high, EXACT, len(events))


def _interval(value: float, low: float, high: float, method: str, count: int) -> Interval:
    return Interval(value=round(value, 4), low=round(low, 4), high=round(high, 4), method=method, n=count)
