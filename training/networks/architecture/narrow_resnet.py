"""ResNet-18 of any width (He et al. 2016), for machines without a GPU."""

from __future__ import annotations

import torch
from torch import nn

from training.errors import TrainingError
from training.networks.network import Network
from training.networks.registry import SCRATCH, NetworkSpec, architecture_family

BLOCKS = (2, 2, 2, 2)


@architecture_family("resnet18-wN", r"resnet18-w(0*[1-9]\d*)")
def narrow_resnet18(spec: NetworkSpec) -> Network:
    """Build ResNet-18 with ``parameter`` channels in its first stage. There are no ImageNet weights of it."""
    if spec.weights != SCRATCH:
        raise TrainingError(f"there are no ImageNet weights of {spec.name}: weights must be scratch or run:FOLDER")
    trunk, channels = resnet18_trunk(int(spec.parameter))
    return Network(trunk, nn.Linear(channels, spec.outputs), pooled=True)


def resnet18_trunk(width: int) -> tuple[nn.Sequential, int]:
    """Return the trunk, (n, 1, s, s) to (n, 8 width, s / 32, s / 32), and 8 ``width``, which is 64 in the paper."""
    stages: list[nn.Module] = [
        nn.Conv2d(1, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    inward = width
    for stage, count in enumerate(BLOCKS):
        outward = width << stage
        for block in range(count):
            stages.append(BasicBlock(inward, outward, 2 if stage and not block else 1))
            inward = outward
    trunk = nn.Sequential(*stages)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk, inward


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inward, outward, 3, stride, 1, bias=False), nn.BatchNorm2d(outward), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outward, outward, 3, 1, 1, bias=False), nn.BatchNorm2d(outward))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inward != outward:
            self.shortcut = nn.Sequential(nn.Conv2d(inward, outward, 1, stride, bias=False), nn.BatchNorm2d(outward))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, outward, s / stride, s / stride) of (n, inward, s, s)."""
        return nn.functional.relu(self.second(self.first(images)) + self.shortcut(images))
