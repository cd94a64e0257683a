"""The graph that is written computes what the members do in PyTorch, however they are put together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export.graph import Shipped, write
from training.config import InputConfig
from training.errors import TrainingError
from training.networks.build import build
from training.networks.network import Network
from triage.model import wrapping
from triage.model.distribution import fit
from triage.model.onnx_runtime import onnxruntime
from triage.model.wrapping import Curve

WHOLE = InputConfig(resize=48, size=32)
OUTPUTS = 2


def member(*, mapped: bool) -> Network:
    """A small network with logits that differ between images; without a map, its head is no linear layer."""
    made = build("resnet18-w4", OUTPUTS)
    if not mapped:
        pooling = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, OUTPUTS))
        made = Network(made.trunk, pooling, pooled=False)
    with torch.no_grad():
        for weight in made.head.parameters():
            weight.mul_(5)
    return made.eval()


def shipped(
    members: list[Network], view: InputConfig, curves: Sequence[Curve] = (), outputs: Sequence[int] = (1,)
) -> Shipped:
    size = view.spec().size
    chests = np.random.default_rng(1).integers(0, 256, (64, size, size), dtype=np.uint8)
    return Shipped(members, outputs, fit(chests), view, curves)


def computed(module: Shipped, weights: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outputs by PyTorch and by ONNX Runtime for images that were not exported with, in the order of the file."""
    size = module.view.spec().size
    image = np.random.default_rng(2).normal(0, 1, (5, 1, size, size)).astype(np.float32)
    with torch.no_grad():
        expected = dict(zip(module.names, (part.numpy() for part in module(torch.from_numpy(image))), strict=True))
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return expected, dict(zip(names, session.run(names, {"image": image}), strict=True))


@pytest.mark.parametrize("outputs", [(1,), (1, 0)])
@pytest.mark.parametrize(
    ("count", "mapped", "flips", "evaluation"),
    list(product([1, 3], [True, False], [False, True], ["whole", "centre-crop"])),
)
def test_the_written_graph_computes_what_the_members_do(
    tmp_path: Path, count: int, mapped: bool, flips: bool, evaluation: str, outputs: tuple[int, ...]
) -> None:
    torch.manual_seed(count)
    view = WHOLE.model_copy(update={"flips": flips, "evaluation": evaluation})
    curves = [Curve(0.7, -0.2), Curve(1.1, 0.3)][: len(outputs)] if flips else []
    module = shipped([member(mapped=mapped) for _ in range(count)], view, curves, outputs)
    write(module, tmp_path / "model.onnx")

    expected, found = computed(module, tmp_path / "model.onnx")

    assert list(found) == module.names
    assert ("cam" in found) == (mapped and evaluation == "whole")
    assert np.ptp(expected["logit"]) > 0.01
    for name in ("logit", "probability", *(["calibrated_probability"] if curves else [])):
        assert np.allclose(found[name], expected[name], rtol=1e-5, atol=1e-5), name
    assert np.allclose(found["distance"], expected["distance"], rtol=1e-5)
    if "cam" in found:
        assert np.allclose(found["cam"], expected["cam"], rtol=1e-4, atol=1e-4)


def test_members_one_of_which_has_no_map_ship_none(tmp_path: Path) -> None:
    module = shipped([member(mapped=True), member(mapped=False)], WHOLE)
    write(module, tmp_path / "model.onnx")
    expected, found = computed(module, tmp_path / "model.onnx")
    assert list(found) == ["logit", "probability", "distance"]
    assert np.allclose(found["logit"], expected["logit"], rtol=1e-5, atol=1e-5)


def test_the_file_is_all_that_is_written_and_holds_each_weight_once(tmp_path: Path) -> None:
    members = [member(mapped=True) for _ in range(2)]
    write(shipped(members, WHOLE), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    held = sum(int(np.prod(weight.dims)) for weight in onnx.load(tmp_path / "model.onnx").graph.initializer)
    learnt = sum(weight.numel() for network in members for weight in network.parameters())
    distance = 2 * 32 * WHOLE.size + 1024 * 33 + 32
    assert held < learnt + distance + 2 * 64 + 100  # the map weighs with the head's weights once more: 32 of each


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(features[:, 0]).real[:, :OUTPUTS]

    odd = Network(nn.Identity(), Odd(), pooled=False).eval()
    with pytest.raises(TrainingError, match="cannot be written as ONNX at 32 px"):
        write(shipped([odd], WHOLE), tmp_path / "model.onnx")

    monkeypatch.setattr(wrapping, "LARGEST", 1000)
    with pytest.raises(TrainingError, match="ship fewer"):
        write(shipped([member(mapped=True)], WHOLE), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
