"""Centring of a network's 0.5, which has no meaning after training with balanced classes and smoothed labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from training.errors import TrainingError
from training.networks.network import Network
from training.runs.scores import RunScores


def equal_point(scored: RunScores) -> float:
    """Return the logit at which sensitivity and specificity differ least; both classes are needed.

    Of several such points it is the middle one, and between two scores the middle.
    """
    ends = np.unique(scored.logits)
    points = np.concatenate([[ends[0] - 1], (ends[1:] + ends[:-1]) / 2, [ends[-1] + 1]])
    positive, negative = (np.sort(scored.logits[scored.labels > 0.5]), np.sort(scored.logits[scored.labels < 0.5]))
    sensitivity = 1 - np.searchsorted(positive, points) / len(positive)
    specificity = np.searchsorted(negative, points) / len(negative)
    difference = np.abs(sensitivity - specificity)
    best = np.flatnonzero(difference == difference.min())
    return float(points[best[len(best) // 2]])


def lowered(networks: Sequence[Network], output: int, by: float) -> list[Network]:
    """Return copies whose logit of ``output`` is lower by ``by``. Raises TrainingError for a head without a bias."""
    if not all(network.pooled for network in networks):
        raise TrainingError("--centre needs a head that is one linear layer: this network's is not")
    copies = [copy.deepcopy(network) for network in networks]
    with torch.no_grad():
        for network in copies:
            network.head.get_parameter("bias")[output] -= by
    return copies
