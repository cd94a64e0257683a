"""Depthwise convolutions with a backward pass that is fast on CPUs.

oneDNN's gradients of depthwise convolutions are slow in bfloat16 and channels last: that of the input where the stride
is 2 (forty times its forward pass), that of the weights for kernels of 5 x 5 (sixty times). Here the first is
computed as a convolution of stride 1 over the spread-out gradient, the second in float32. The numbers are the same but
for rounding, and those of the weights are the more exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_SLOW_KERNEL = 5


class _Depthwise(torch.autograd.Function):
    """``conv2d(images, weight, None, stride, padding, 1, channels)``: images (n, c, h, w), weight (c, 1, k, k)."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        wanted = ctx.needs_input_grad
        of_images = _of_images(gradient, images, weight, ctx.stride, ctx.padding) if wanted[0] else None
        of_weight = _of_weight(gradient, images, weight, ctx.stride, ctx.padding) if wanted[1] else None
        return of_images, of_weight, None, None


def _of_images(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    if stride == 1:
        return _native(gradient, images, weight, stride, padding, (True, False, False))[0]
    count, channels, height, width = images.shape
    size = weight.shape[-1]
    first = size - 1 - padding
    spread = gradient.new_zeros((count, height + size - 1, width + size - 1, channels)).permute(0, 3, 1, 2)
    rows, columns = (slice(first, first + (number - 1) * stride + 1, stride) for number in gradient.shape[2:])
    spread[:, :, rows, columns] = gradient
    return functional.conv2d(spread, weight.flip((2, 3)), None, 1, 0, 1, channels)


def _of_weight(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    if weight.shape[-1] >= _SLOW_KERNEL and images.dtype == torch.bfloat16:
        gradient, images = gradient.float(), images.float()
    found = _native(gradient, images, weight.to(images.dtype), stride, padding, (False, True, False))[1]
    return found.to(weight.dtype)


def _native(
    gradient: torch.Tensor,
    images: torch.Tensor,
    weight: torch.Tensor,
    stride: int,
    padding: int,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, ...]:
    found: tuple[torch.Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(weight), list(wanted)
    )
    return found


class DepthwiseConv2d(nn.Module):
    """A depthwise ``convolution`` with the fast backward pass; same names and values in ``state_dict``.

    ``same``: padded as TensorFlow does, so that ``ceil(h / stride)`` rows come out, with more below than above.
    """

    def __init__(self, convolution: nn.Conv2d, *, same: bool) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.stride, self.same = convolution.stride[0], same
        self.padding = 0 if same else int(convolution.padding[0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, c, h / stride, w / stride) of (n, c, h, w)."""
        if self.same:
            height, width = (_missing(size, self.stride, self.weight.shape[-1]) for size in images.shape[2:])
            images = functional.pad(images, (width // 2, width - width // 2, height // 2, height - height // 2))
        weight = self.weight
        if torch.is_autocast_enabled(images.device.type):  # autocast does not reach functions of our own
            precision = torch.get_autocast_dtype(images.device.type)
            images, weight = images.to(precision), weight.to(precision)
        found: torch.Tensor = _Depthwise.apply(images, weight, self.stride, self.padding)  # type: ignore[no-untyped-call]
        return found


def _missing(size: int, stride: int, kernel: int) -> int:
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def with_fast_depthwise(network: nn.Module) -> nn.Module:
    """Return ``network`` itself, with its depthwise convolutions replaced; those dilated or with a bias stay."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Conv2d) and _replaceable(module):
                setattr(parent, name, DepthwiseConv2d(module, same=type(module).__name__ == "Conv2dSame"))
    return network


def _replaceable(module: nn.Conv2d) -> bool:
    plain = type(module) is nn.Conv2d or type(module).__name__ == "Conv2dSame"  # timm's, padded as TensorFlow does
    square = len({*module.kernel_size}) == len({*module.stride}) == 1 and not isinstance(module.padding, str)
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    alike = len({*module.padding}) == 1 and module.padding_mode == "zeros"
    return plain and square and depthwise and alike and module.bias is None and set(module.dilation) == {1}
