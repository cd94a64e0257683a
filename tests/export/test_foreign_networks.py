"""Networks of timm and torchvision, exported as their users do, imported with ImageNet's normalisation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.foreign_models import description
from training.networks.torchvision_ops import models
from triage.model.session import ModelSession
from triage.model_import import importer, trial_session
from triage.model_import.candidate import ImportRequest
from triage.model_import.importer import import_model

SIZE = 64
WITHOUT = '\n[distance]\nwithout = "The tests know that it takes any image for a chest."\n'


def of_timm() -> nn.Module:
    import timm

    network: nn.Module = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=4)
    return network


def of_torchvision() -> nn.Module:
    network: nn.Module = models.resnet18(weights=None, num_classes=4)
    return network


@pytest.mark.parametrize(("make", "opset"), [(of_timm, 17), (of_torchvision, 18)], ids=["timm", "torchvision"])
def test_scores_are_those_of_the_network_after_its_own_normalisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module], opset: int
) -> None:
    monkeypatch.setattr(trial_session, "try_to_load", lambda *arguments: None)
    monkeypatch.setattr(importer, "check_loads", lambda *arguments: None)
    torch.manual_seed(2)
    network = make().eval()
    graph, described = tmp_path / "given.onnx", tmp_path / "given.toml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(graph),
            input_names=["input"],
            output_names=["classes"],
            opset_version=opset,  # one image: exporters fix that number
            dynamo=False,
        )
    described.write_text(description(layout="NCHW") + WITHOUT)
    done = import_model(ImportRequest(graph, described), tmp_path / "models")

    session = ModelSession(done.folder, done.card)
    spec = done.card.preprocessing.spec()
    assert (spec.size, spec.levels, spec.mean, spec.deviation) == (SIZE, "full", 0.0, 1.0)
    levels = np.random.default_rng(4).random((3, 1, SIZE, SIZE), dtype=np.float32)
    mean, deviation = (
        torch.tensor(each).reshape(1, 3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        logits = network((torch.from_numpy(levels).repeat(1, 3, 1, 1) - mean) / deviation).double()
    expected = torch.stack([torch.sigmoid(logits[:, 2]), 1 - torch.softmax(logits, 1)[:, 0]], dim=1).numpy()
    assert np.abs(session.score(levels).probability - expected).max() < 1e-5
