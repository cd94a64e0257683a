"""Networks by name: grey in, named outputs out, and weights that are there or an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.errors import TrainingError
from training.networks.build import build, known_architectures
from training.networks.torchvision_ops import models

FIXED = [name for name in known_architectures() if "N" not in name]  # families are tried by an example
POOLED = ("inception_v3", "resnet18", "resnet50", "densenet121", "resnet18-w4", "timm:resnet10t")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("name", [*FIXED, "resnet18-w4", "timm:resnet10t", "timm:vit_tiny_patch16_224"])
def test_each_network_takes_grey_and_names_its_outputs(name: str) -> None:
    network = build(name, 2).eval()
    size = 224 if "vit" in name else 96
    with torch.no_grad():
        assert network(torch.randn(1, 1, size, size)).shape == (1, 2)
    assert network.pooled == (name in POOLED)


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_pooling_replaces_fully_connected_heads(name: str) -> None:
    network = build(name, 1, head="pool")
    assert network.pooled
    assert sum(weight.numel() for weight in network.head.parameters()) < 600


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_the_mean_of_the_map_plus_the_bias_is_the_logit(name: str) -> None:
    network = build(name, 3).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        logit, maps = network.with_map(images, 2)
        raw = network(images)[:, 2]
    assert torch.allclose(logit, raw)
    assert torch.allclose(maps.mean((1, 2)) + network.bias(2), raw, atol=1e-5)


def test_a_head_of_other_shape_has_no_map() -> None:
    with pytest.raises(ValueError, match="no class activation map"):
        build("alexnet", 1).with_map(torch.randn(1, 1, 96, 96), 0)


def test_grey_is_the_same_as_three_equal_channels(tmp_path: Path) -> None:
    colour = models.resnet18().eval()
    torch.save(colour.state_dict(), tmp_path / "weights.pth")
    grey = build("resnet18", 1, weights=f"file:{tmp_path / 'weights.pth'}").eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        replicated = torch.nn.Sequential(*list(colour.children())[:-2])(image.expand(-1, 3, -1, -1))
        assert torch.allclose(grey.trunk(image), replicated, atol=1e-4)


def test_missing_weights_are_an_error_and_not_a_start_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        build("resnet18", 1, weights=f"file:{tmp_path / 'nothing.pth'}")
    torch.save(models.resnet18().state_dict(), tmp_path / "other.pth")
    with pytest.raises(TrainingError, match="nothing was trained from scratch instead"):
        build("densenet121", 1, weights=f"file:{tmp_path / 'other.pth'}")
    torch.hub.set_dir(str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no server listens there
    with pytest.raises(TrainingError, match="nothing was trained from scratch instead"):
        build("resnet18", 1, weights="imagenet")
    with pytest.raises(TrainingError, match="there are no ImageNet weights of resnet18-w8"):
        build("resnet18-w8", 1, weights="imagenet")


@pytest.mark.parametrize("name", ["resnet19", "resnet18-w", "resnet18-w0", "timm:nothing"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=r"no (architecture|model)"):
        build(name, 1)
