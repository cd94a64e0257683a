"""Where a network's 0.5 lies: training balances classes and smooths labels, so its own is nowhere in particular."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from training.errors import TrainingError
from training.networks.architectures import Network
from training.runs.scores import RunScores


def equal_point(scored: RunScores) -> float:
    """The logit from which on sensitivity and specificity differ least; both classes must be there.

    Of several such points the middle one, and between two scores the middle.
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
    """Copies whose logit of ``output`` is lower by so much. TrainingError where the head has no bias of its own."""
    if not all(network.pooled for network in networks):
        raise TrainingError("--centre needs a head that is one linear layer: this network's is not")
    copies = [copy.deepcopy(network) for network in networks]
    with torch.no_grad():
        for network in copies:
            network.head.get_parameter("bias")[output] -= by
    return copies
