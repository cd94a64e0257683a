"""Self-supervision: variations agree, numbers differ, and the run that comes of it starts others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config, SelfSupervisionConfig
from training.errors import TrainingError
from training.networks.build import build
from training.networks.self_supervision import BarlowTwins, disagreement
from training.runs.devices import Process
from training.runs.run import WEIGHTS, RunSources, RunSpec, TrainingRun, load_network, start_network
from training.runs.scores import figures
from training.runs.train import train

CPU = Process(torch.device("cpu"))
HOW = SelfSupervisionConfig(share=1, width=8, redundancy=0.5)
ALONE = Config.model_validate({**TINY, "agreement": {"share": 1.0, "width": 16, "labels": False}})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_the_same_independent_numbers_of_both_variations_disagree_in_nothing() -> None:
    numbers = torch.randn(64, 8)
    centred = torch.linalg.qr(numbers - numbers.mean(0))[0]
    assert disagreement(torch.cat([centred, centred]), HOW) < 1e-2
    assert disagreement(torch.cat([centred, centred.roll(7, 0)]), HOW) > 0.5


def test_one_number_repeated_is_redundant_and_a_constant_one_agrees_with_nothing() -> None:
    repeated = torch.randn(64, 1).expand(64, 8)
    assert disagreement(torch.cat([repeated, repeated]), HOW) == pytest.approx(0.5 * 7, rel=0.01)
    assert disagreement(torch.ones(128, 8), HOW) == pytest.approx(1, abs=1e-3)


def test_evaluated_it_is_the_network_alone() -> None:
    network = build("resnet18-w4", 2)
    twins, images = BarlowTwins(network, 8), torch.randn(4, 1, 32, 32)
    logits, projections = twins.train()(images)
    assert (logits.shape, projections.shape) == ((4, 2), (4, 8))
    assert torch.equal(twins.eval()(images), network.eval()(images))
    with pytest.raises(TrainingError, match="pools before a linear head"):
        BarlowTwins(build("alexnet", 1), 8)


def test_a_run_without_labels_learns_of_images_alone_and_starts_another(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    source = RunSources((manifest,))
    assert train(RunSpec(ALONE, source, tmp_path / "alone", tmp_path / "cache"), CPU) is None
    assert TrainingRun.open(tmp_path / "alone").validation_patients == ()
    flipped = [row.replace(",1,", ",0,", 1) if number % 8 else row for number, row in enumerate(lines(manifest))]
    manifest.write_text("".join(flipped))
    train(RunSpec(ALONE, source, tmp_path / "blind", tmp_path / "cache"), CPU)
    first, second = (torch.load(tmp_path / name / WEIGHTS, weights_only=True)["state"] for name in ("alone", "blind"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any("projection" in name for name in first)
    later = Config.model_validate(
        {**TINY, "model": {"architecture": "resnet18-w4", "weights": f"run:{tmp_path / 'alone'}"}}
    )
    started, learnt = start_network(later), load_network(tmp_path / "alone")
    assert torch.equal(started.trunk[0].weight, learnt.trunk[0].weight)


def test_labels_are_learnt_too(tmp_path: Path) -> None:
    both = ALONE.changed({"agreement.labels": True, "agreement.share": 0.1, "schedule.epochs": 6})
    scored = train(RunSpec(both, RunSources((write_cohort(tmp_path, 96),)), tmp_path / "run", tmp_path / "cache"), CPU)
    assert scored is not None
    assert figures(scored)["auc"] > 0.9


def lines(path: Path) -> list[str]:
    """Words with their ends."""
    return path.read_text().splitlines(keepends=True)
