"""Padding of a fixed size, in place of padding computed from each image's size.

timm's networks that came from TensorFlow pad each strided convolution by a number that depends on the image's size
("SAME"). As ONNX this is a chain of nodes, a copy of the tensor and, on CPUs, two changes of its layout: a quarter of
EfficientNet-Lite0's time at 224 px. The exported graph takes one size only, and ONNX's convolution can pad more behind
than before, which PyTorch's cannot.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

from timm.layers.conv2d_same import Conv2dSame  # isort: skip
from timm.layers.padding import get_same_padding  # isort: skip


def with_fixed_padding(network: nn.Module, image: torch.Tensor) -> nn.Module:
    """Return a copy that computes the same, to the bit, on images of the shape of ``image``, and of no other."""
    fixed = copy.deepcopy(network)
    for name, size in _sizes(fixed, image).items():
        convolution = fixed.get_submodule(name)
        assert isinstance(convolution, Conv2dSame)
        fixed.set_submodule(name, _Padded(convolution, _pads(convolution, size)))
    return fixed


def _sizes(network: nn.Module, image: torch.Tensor) -> dict[str, torch.Size]:
    """Return rows and columns of the input of each convolution, by its name."""
    sizes: dict[str, torch.Size] = {}
    hooks = [
        module.register_forward_pre_hook(_recording(name, sizes))
        for name, module in network.named_modules()
        if isinstance(module, Conv2dSame)
    ]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return sizes


def _recording(name: str, sizes: dict[str, torch.Size]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def record(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        sizes[name] = arguments[0].shape[2:]

    return record


_Pads = tuple[int, int, int, int]
"""Top, left, bottom, right, in the order of ONNX."""


def _pads(convolution: Conv2dSame, size: torch.Size) -> _Pads:
    rows, columns = (
        get_same_padding(side, kernel, stride, dilation)
        for side, kernel, stride, dilation in zip(
            size, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True
        )
    )
    # An odd padding has one more behind, as in TensorFlow.
    return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2


class _Padded(nn.Module):
    """A convolution with fixed paddings."""

    def __init__(self, convolution: Conv2dSame, pads: _Pads) -> None:
        super().__init__()
        self.convolution, self.pads = convolution, pads

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the convolution of images of the one size."""
        own = self.convolution
        arguments = (image, own.weight, own.bias, self.pads, own.stride, own.dilation, own.groups)
        made: torch.Tensor = _Convolve.apply(*arguments)  # type: ignore[no-untyped-call]
        return made


class _Convolve(torch.autograd.Function):
    """A convolution as one node of ONNX; for its attributes see onnx/docs/Operators.md, Conv."""

    @staticmethod
    def forward(
        context: Any,
        image: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        pads: _Pads,
        strides: tuple[int, int],
        dilations: tuple[int, int],
        groups: int,
    ) -> torch.Tensor:
        top, left, bottom, right = pads
        padded = functional.pad(image, (left, right, top, bottom))
        return functional.conv2d(padded, weight, bias, strides, 0, dilations, groups)

    @staticmethod
    def symbolic(
        graph: Any,
        image: Any,
        weight: Any,
        bias: Any,
        pads: _Pads,
        strides: tuple[int, int],
        dilations: tuple[int, int],
        groups: int,
    ) -> Any:
        given = [each for each in (image, weight, bias) if each is not None]
        kernel = weight.type().sizes()[2:]
        sizes = {"kernel_shape_i": kernel, "pads_i": pads, "strides_i": strides, "dilations_i": dilations}
        return graph.op("Conv", *given, **sizes, group_i=groups)
