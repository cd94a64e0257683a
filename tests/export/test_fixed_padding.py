"""Padding of a known size computes the same, and ONNX Runtime has no padding left to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.fixed_padding import with_fixed_padding
from export.graph import Shipped, write
from training.config import InputConfig
from training.networks.build import build
from triage.model.distribution import fit
from triage.model.onnx_runtime import onnxruntime

LITE = "timm:tf_efficientnet_lite0"


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [64, 75, 90])  # what is odd on the way is padded otherwise
def test_the_copy_computes_the_same_to_the_bit(size: int) -> None:
    network = build(LITE, 2).eval()
    fixed = with_fixed_padding(network, images(size))
    with torch.inference_mode():
        assert torch.equal(network(images(size)), fixed(images(size)))


def test_the_network_itself_stays_as_it_is() -> None:
    network = build(LITE, 2).eval()
    before = [type(module) for module in network.modules()]
    with_fixed_padding(network, images(64))
    assert [type(module) for module in network.modules()] == before
    with torch.inference_mode():
        assert network(images(96)).shape == (2, 2)


def test_a_network_of_torchvision_needs_nothing() -> None:
    network = build("resnet18-w4", 2).eval()
    fixed = with_fixed_padding(network, images(64))
    assert [name for name, _ in fixed.named_modules()] == [name for name, _ in network.named_modules()]


def test_what_ships_pads_within_its_convolutions(tmp_path: Path) -> None:
    view = InputConfig(resize=64, size=64)
    chests = np.random.default_rng(1).integers(0, 256, (64, 64, 64), dtype=np.uint8)
    write(Shipped([build(LITE, 2).eval()], [0], fit(chests), view), tmp_path / "model.onnx")
    assert "Pad" not in operators_run(tmp_path)


def operators_run(folder: Path) -> set[str]:
    """Return the nodes that ONNX Runtime runs of model.onnx, by its own profile."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    session.run(None, {"image": np.zeros((1, 1, 64, 64), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    return {event["args"]["op_name"] for event in events if event.get("args", {}).get("op_name")}


def test_a_convolution_with_a_bias_keeps_it() -> None:
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    network = nn.Sequential(Conv2dSame(1, 4, 3, stride=2, dilation=2, bias=True)).eval()
    with torch.inference_mode():
        assert torch.equal(network(images(33)), with_fixed_padding(network, images(33))(images(33)))
