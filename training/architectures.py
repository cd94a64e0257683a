"""Networks by name. One grey channel in, one raw number (logit) for each output."""

from __future__ import annotations

import torch
from torch import nn


def build(name: str, outputs: int) -> nn.Module:
    """``resnet18`` is torchvision's at a width of 64; ``resnet18-wN`` has N channels in its first stage.

    Initialised at random: ValueError for an unknown name.
    """
    if name == "resnet18":
        return resnet18(64, outputs)
    if name.startswith("resnet18-w") and name.removeprefix("resnet18-w").isdigit():
        return resnet18(int(name.removeprefix("resnet18-w")), outputs)
    raise ValueError(f"no architecture {name!r}: there are resnet18 and resnet18-wN")


def resnet18(width: int, outputs: int) -> nn.Module:
    """ResNet-18 (He et al. 2016) for one channel; ``width`` channels in the first stage, 64 in the paper."""
    return ResNet((2, 2, 2, 2), width, outputs)


class ResNet(nn.Module):
    """A residual network of basic blocks with global average pooling and a linear head."""

    def __init__(self, blocks: tuple[int, ...], width: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        stages: list[nn.Module] = []
        inward = width
        for stage, count in enumerate(blocks):
            outward = width << stage
            for block in range(count):
                stages.append(BasicBlock(inward, outward, 2 if stage and not block else 1))
                inward = outward
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inward, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1, s, s) to (n, outputs)."""
        logits: torch.Tensor = self.head(self.stages(self.stem(images)).mean((2, 3)))
        return logits


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
        """(n, inward, s, s) to (n, outward, s / stride, s / stride)."""
        return nn.functional.relu(self.second(self.first(images)) + self.shortcut(images))
