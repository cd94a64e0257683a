"""Self-supervision: two variations of one image shall have the same description, different images different ones.

Barlow Twins (Zbontar et al. 2021): it needs neither pairs of other images nor a second network, so it works with the
small batches of a small machine.
"""

from __future__ import annotations

import torch
from torch import nn

from training.config import SelfSupervisionConfig
from training.errors import TrainingError
from training.networks.network import Network


class BarlowTwins(nn.Module):
    """A ``network`` with a second head, a projection, while it trains; in evaluation it is the network alone."""

    def __init__(self, network: Network, width: int) -> None:
        super().__init__()
        if not network.pooled:
            raise TrainingError("agreement.share needs a network that pools before a linear head")
        self.network = network
        channels = network.head.get_parameter("weight").shape[1]
        self.projection = nn.Sequential(
            nn.Linear(channels, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return logits (n, outputs) of (n, 1, s, s); in training also the projections (n, width)."""
        if not self.training:
            logits: torch.Tensor = self.network(images)
            return logits
        features = self.network.trunk(images).mean((2, 3))
        return self.network.head(self.network.dropout(features)), self.projection(features)


def disagreement(projections: torch.Tensor, weights: SelfSupervisionConfig) -> torch.Tensor:
    """Return the loss of projections (2n, width), n rows of first variations before n of the second.

    The correlation, over the batch, of each number with itself in the other variation should be 1, and with every other
    number 0. The mean over numbers of the squared distance from that, ``redundancy`` weighing the second.
    """
    first, second = (_standardised(part) for part in projections.float().chunk(2))
    correlation = first.T @ second / len(first)
    same = correlation.diagonal()
    others = correlation.square().sum() - same.square().sum()
    return ((1 - same).square().sum() + weights.redundancy * others) / len(correlation)


def _standardised(part: torch.Tensor) -> torch.Tensor:
    return (part - part.mean(0)) / (part.std(0, unbiased=False) + 1e-4)
