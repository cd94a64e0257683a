"""The shape of every network: a grey image in, one raw number (logit) for each named output."""

from __future__ import annotations

import torch
from torch import nn


class Network(nn.Module):
    """``trunk`` makes feature maps (n, c, h, w) of images (n, 1, s, s), ``head`` makes (n, outputs) of them.

    Where ``pooled``, the head is a linear layer on the maps' means, so that the layer applied at each place is a class
    activation map whose mean plus the bias is the logit (Zhou et al. 2016).
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, *, pooled: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk, self.head, self.pooled = trunk, head, pooled
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (n, outputs) of images (n, 1, s, s)."""
        features = self.trunk(images)
        logits: torch.Tensor = self.head(self.dropout(features.mean((2, 3))) if self.pooled else features)
        return logits

    def bias(self, output: int) -> float:
        """Return the bias of one output of a pooled network's head."""
        return float(self.head.get_parameter("bias").detach()[output])

    def with_map(self, images: torch.Tensor, output: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logit (n,) of one output and its class activation map (n, h, w).

        Raises ValueError where the network is not ``pooled``.
        """
        if not self.pooled:
            raise ValueError("this head has no class activation map")
        features = self.trunk(images)
        weight: torch.Tensor = self.head.get_parameter("weight")[output]
        logits: torch.Tensor = self.head(self.dropout(features.mean((2, 3))))[:, output]
        return logits, (features * weight[None, :, None, None]).sum(1)

    def with_several_maps(self, images: torch.Tensor, outputs: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits (n, k) of several outputs and their class activation maps (n, k, h, w).

        Raises ValueError where the network is not ``pooled``.
        """
        if not self.pooled:
            raise ValueError("this head has no class activation map")
        features = self.trunk(images)
        weight: torch.Tensor = self.head.get_parameter("weight")[outputs]
        logits: torch.Tensor = self.head(self.dropout(features.mean((2, 3))))[:, outputs]
        return logits, nn.functional.conv2d(features, weight[:, :, None, None])


def sum_first_convolution(network: nn.Module, scale: float = 1.0) -> None:
    """Replace the first convolution of a colour network by its sum over the input channels, times ``scale``.

    It is the same function as replicating the grey image, at a third of that layer's cost.
    """
    for parent in network.modules():
        for module in parent.children():
            if isinstance(module, nn.Conv2d):
                module.weight = nn.Parameter(scale * module.weight.detach().sum(1, keepdim=True))
                module.in_channels = 1
                return
