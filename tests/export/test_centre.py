"""Centring of 0.5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from export.centre import equal_point, lowered
from training.errors import TrainingError
from training.networks.build import build
from training.networks.network import Network
from training.runs.scores import RunScores


def scored(labels: list[int], logits: list[float]) -> RunScores:
    count = len(labels)
    texts = dict.fromkeys(("images", "patients", "sources", "views", "ages", "sexes"), ("",) * count)
    return RunScores(**texts, folds=(0,) * count, labels=np.array(labels, float), logits=np.array(logits))


def test_sensitivity_and_specificity_are_equal_there() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.7).astype(int)
    logits = rng.normal(labels * 1.5 - 3, 1)
    point = equal_point(scored(labels.tolist(), logits.tolist()))
    moved = scored(labels.tolist(), logits.tolist()).lowered(point)
    called = moved.probabilities >= 0.5
    assert called[labels == 1].mean() == pytest.approx(1 - called[labels == 0].mean(), abs=0.002)
    assert point == pytest.approx(-2.25, abs=0.1)  # half way between the classes' means


def test_classes_that_are_apart_are_parted_in_the_middle() -> None:
    assert equal_point(scored([0, 0, 1], [-3.0, -2.0, 2.0])) == 0.0


def test_one_output_is_lowered_and_the_network_itself_stays() -> None:
    network = build("resnet18-w4", 2).eval()
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    (moved,) = lowered([network], 1, 0.75)
    with torch.inference_mode():
        difference = network(images) - moved(images)
        _, map_before = network.with_map(images, 1)
        _, map_after = moved.with_map(images, 1)
    assert torch.allclose(difference, torch.tensor([[0.0, 0.75]]).expand(3, 2), atol=1e-6)
    assert torch.equal(map_before, map_after)


def test_a_head_of_another_kind_is_refused() -> None:
    made = build("resnet18-w4", 1)
    head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 1))
    with pytest.raises(TrainingError, match="one linear layer"):
        lowered([Network(made.trunk, head, pooled=False)], 0, 1.0)
