"""Architectures register themselves: one decorated builder is all that a new one takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from training.config import load_config
from training.errors import TrainingError
from training.networks import architecture as package
from training.networks import build as building
from training.networks.build import build, known_architectures
from training.networks.network import Network
from training.networks.registry import ENTRIES, NetworkSpec, architecture, architecture_family
from training.runs.run import load_network, save_network, start_network


@pytest.fixture(autouse=True)
def own_entries() -> Iterator[None]:
    """Restore the registry after each test."""
    known_architectures()
    before = list(ENTRIES)
    yield
    ENTRIES[:] = before


def linear(spec: NetworkSpec) -> Network:
    return Network(nn.Conv2d(1, 4, 3), nn.Linear(4, spec.outputs), pooled=True)


def test_a_decorated_builder_trains_and_is_read_again(tmp_path: Path) -> None:
    architecture("plain")(linear)
    config = load_config("modern", ["model.architecture=plain", "model.weights=scratch"])
    network = start_network(config)
    save_network(tmp_path, network, config)
    assert load_network(tmp_path)(torch.zeros(2, 1, 8, 8)).shape == (2, len(config.outputs))
    assert "plain" in known_architectures()


def test_a_family_gets_the_parameter_of_its_name() -> None:
    architecture_family("plain-N", r"plain-(\d+)")(lambda spec: linear(NetworkSpec(spec.name, int(spec.parameter))))
    assert build("plain-3", 1).head.get_parameter("weight").shape == (3, 4)
    with pytest.raises(TrainingError, match=r"no architecture 'plain-x': there are .* and plain-N"):
        build("plain-x", 1)


def test_a_new_file_in_the_folder_is_all_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from_a_file.py").write_text(
        "from tests.training.networks.test_registry import linear\n"
        "from training.networks.registry import architecture\n"
        'architecture("from-a-file")(linear)\n'
    )
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    building._load_all.cache_clear()
    assert build("from-a-file", 2).head.get_parameter("weight").shape == (2, 4)
    sys.modules.pop(f"{package.__name__}.from_a_file")
