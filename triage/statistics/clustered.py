"""Exact bounds of a proportion whose trials are clustered: several studies of one patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from triage.statistics.intervals import NO_BOUNDS, Bounds, exact_interval


def clustered_exact_interval(right: npt.NDArray[np.bool_], patients: Sequence[str], confidence: float = 0.95) -> Bounds:
    """Return Clopper-Pearson bounds of the share of ``right`` trials; NaN without any.

    The wider of two intervals on either side. Patients as trials, right (or wrong) only if all of their trials are:
    exact, whatever their trials have in common. And the share of right trials with Kish's effective number of patients
    (Kish 1965, (sum m)^2 / sum m^2 for m trials each) in the place of trials: the trials of a patient are taken as
    alike. With one trial of each patient both are the plain interval.
    """
    if not len(right):
        return NO_BOUNDS
    _, member_of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    sizes = np.bincount(member_of)
    hits = np.bincount(member_of, weights=right.astype(np.float64))
    all_right, any_right = int((hits == sizes).sum()), int((hits > 0).sum())
    count = len(sizes)
    low = exact_interval(all_right, count, confidence)[0]
    high = exact_interval(any_right, count, confidence)[1]
    effective = float(sizes.sum() ** 2 / (sizes**2).sum())
    lower, upper = _beta_interval(float(right.mean()) * effective, effective, confidence)
    return min(low, lower), max(high, upper)


def _beta_interval(successes: float, trials: float, confidence: float) -> Bounds:
    """Return the Clopper-Pearson bounds for numbers that need not be whole (Korn and Graubard 1998)."""
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high
