"""Figures with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

Floats = npt.NDArray[np.floating[Any]]
ROUNDS = 2000


def auc(labels: Floats, scores: Floats) -> float:
    """Area under the ROC curve: the probability that a positive scores higher than a negative, ties counting half."""
    positive = np.asarray(labels) > 0.5
    count = int(positive.sum())
    if count in (0, len(positive)):
        raise ValueError("an AUC needs both classes")
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def patient_bootstrap(
    figure: Callable[[npt.NDArray[np.int64]], float], patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of ``figure(indices)`` when whole patients are drawn with replacement.

    Rounds in which the figure is not defined (one class only) are drawn again; ValueError if that never ends.
    """
    low, high = np.percentile(bootstrap_values(figure, patients, rounds=rounds, seed=seed), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_values(
    figure: Callable[[npt.NDArray[np.int64]], float], patients: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> list[float]:
    """``figure(indices)`` of each round of a patient-clustered bootstrap."""
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
    raise ValueError("the figure is hardly ever defined when patients are drawn anew")


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, 0 for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
