"""Depthwise convolutions with another backward pass: the same numbers, in every padding and stride that timm has."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from training.networks.build import build
from training.networks.depthwise import DepthwiseConv2d, with_fast_depthwise


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def gradients(layer: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the output, and the gradients of the images and of the weight."""
    seen = images.clone().requires_grad_()
    out = layer(seen)
    out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape))
    (weight,) = layer.parameters()
    assert seen.grad is not None and weight.grad is not None
    return out.detach(), seen.grad, weight.grad


@pytest.mark.parametrize("rows", [14, 15])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_numbers_are_those_of_the_plain_convolution(kernel: int, stride: int, same: bool, rows: int) -> None:
    from timm.layers import create_conv2d

    import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

    plain = create_conv2d(6, 6, kernel, stride=stride, padding="same" if same else "", depthwise=True).double()
    fast = with_fast_depthwise(nn.Sequential(copy.deepcopy(plain)))
    assert isinstance(fast[0], DepthwiseConv2d)
    images = torch.randn(2, 6, rows, rows + 3, dtype=torch.double)
    for expected, found in zip(gradients(plain, images), gradients(fast, images), strict=True):
        assert torch.allclose(expected, found, atol=1e-12)


def test_the_weights_gradient_is_no_worse_in_bfloat16() -> None:
    plain = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False).to(memory_format=torch.channels_last)
    fast = with_fast_depthwise(nn.Sequential(copy.deepcopy(plain)))
    images = torch.randn(4, 8, 20, 20).contiguous(memory_format=torch.channels_last)
    exact = gradients(copy.deepcopy(plain), images)[2]
    with torch.autocast("cpu", torch.bfloat16):
        usual, found = (gradients(layer, images)[2] for layer in (plain, fast))
    assert (found - exact).norm() <= (usual - exact).norm() * 1.01
    assert (found - exact).norm() < 0.01 * exact.norm()


def test_a_network_keeps_the_names_of_its_weights_and_what_it_says() -> None:
    network = build("timm:tf_efficientnet_lite0", 2).eval()
    names, images = list(network.state_dict()), torch.randn(1, 1, 64, 64)
    before = network(images)
    with_fast_depthwise(network)
    assert list(network.state_dict()) == names
    assert sum(isinstance(module, DepthwiseConv2d) for module in network.modules()) == 16
    assert torch.allclose(network(images), before, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, groups=4, bias=False),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, groups=8, bias=False, dilation=2),
        nn.Conv2d(8, 16, 3, groups=8, bias=False),
    ],
)
def test_what_is_not_plainly_depthwise_stays(layer: nn.Module) -> None:
    assert with_fast_depthwise(nn.Sequential(layer))[0] is layer
