"""Padding of a known size, in place of padding that every image is measured for.

timm's networks that came from TensorFlow pad each strided convolution by what the image's size asks for ("SAME"). As
ONNX this is a chain of nodes, a copy of the tensor and, on CPUs, two changes of its layout: a quarter of
EfficientNet-Lite0's time at 224 px. What ships sees one size only, and ONNX Runtime merges a padding by constants
into the convolution.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

from timm.layers.conv2d_same import Conv2dSame  # isort: skip
from timm.layers.padding import get_same_padding  # isort: skip


def with_fixed_padding(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """A copy that computes the same, to the bit, on images of the shape of ``image``, and is for no other."""
    fixed = copy.deepcopy(network)
    for name, size in _sizes(fixed, image).items():
        convolution = fixed.get_submodule(name)
        assert isinstance(convolution, Conv2dSame)
        fixed.set_submodule(name, nn.Sequential(_padding(convolution, size), _unpadded(convolution)))
    return fixed


def _sizes(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Size]:
    """By the name of each convolution: rows and columns of what it gets."""
    sizes: dict[str, torch.Size] = {}
    hooks = [
        module.register_forward_pre_hook(_noting(name, sizes))
        for name, module in network.named_modules()
        if isinstance(module, Conv2dSame)
    ]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return sizes


def _noting(name: str, sizes: dict[str, torch.Size]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def note(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        sizes[name] = arguments[0].shape[2:]

    return note


def _padding(convolution: Conv2dSame, size: torch.Size) -> nn.ZeroPad2d:
    rows, columns = (
        get_same_padding(side, kernel, stride, dilation)
        for side, kernel, stride, dilation in zip(
            size, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True
        )
    )
    # The odd one goes behind, as TensorFlow has it.
    return nn.ZeroPad2d((columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _unpadded(convolution: Conv2dSame) -> nn.Conv2d:
    """The convolution alone, with the same weights."""
    alone = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        dilation=convolution.dilation,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    alone.weight, alone.bias = convolution.weight, convolution.bias
    return alone
