"""Several trainings in one network: only where they are alike, and fold by fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from export.held_out import judge_by
from tests.support.cohort_images import TINY, write_cohort
from training.cli import main
from training.config import Config
from training.errors import TrainingError
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.run import WEIGHTS, RunSources, RunSpec, TrainingRun
from training.runs.scores import PREDICTIONS, RunScores
from training.runs.train import train
from training.runs.weight_averaging import AVERAGE, MEAN_OF_SCORES, average

CPU = Process(torch.device("cpu"))
QUICK = Config.model_validate(TINY).changed({"schedule.epochs": 1, "data.folds": 2})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def started(tmp_path: Path) -> Config:
    """A configuration that starts from an earlier run; its own folds, so that a seed draws no others."""
    manifest = write_cohort(tmp_path, 16, name="earlier")
    train(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "earlier", tmp_path / "cache"), CPU)
    return QUICK.changed({"model.weights": f"run:{tmp_path / 'earlier'}", "data.carve": 0})


def folded(folder: Path) -> RunSources:
    """A cohort in two folds of its own."""
    manifest = write_cohort(folder, 24)
    header, *rows = manifest.read_text().splitlines()
    place = header.split(",").index("fold")
    cells = [row.split(",") for row in rows]
    for number, row in enumerate(cells):
        row[place] = str(number // 4 % 2)
    manifest.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")
    return RunSources((manifest,))


def test_each_fold_is_the_mean_of_its_trainings_and_scores_whom_they_held_out(tmp_path: Path, started: Config) -> None:
    source, cache = folded(tmp_path), tmp_path / "cache"
    for seed in (3, 13):
        cross_validate(RunSpec(started.changed({"runtime.seed": seed}), source, tmp_path / f"cv{seed}", cache), CPU)
    out = tmp_path / "mean"
    command = ["average", str(tmp_path / "cv3"), str(tmp_path / "cv13"), "-o", str(out), "--device", "cpu"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    for fold in ("fold0", "fold1"):
        one, two, mean = (weights(tmp_path / run / fold) for run in ("cv3", "cv13", "mean"))
        name = "trunk.0.weight"
        assert torch.allclose(mean[name], (one[name] + two[name]) / 2, atol=1e-6)
        assert not torch.equal(one[name], two[name])
    first, second, soup = (RunScores.read(tmp_path / run / PREDICTIONS) for run in ("cv3", "cv13", "mean"))
    assert soup.images == first.images and soup.folds == first.folds
    both = RunScores.read(out / MEAN_OF_SCORES)
    assert np.allclose(both.logits, (first.logits + second.logits) / 2, atol=1e-6)

    runs = [train_all(started, seed, source, tmp_path) for seed in (3, 13)]
    assert average(runs, tmp_path / "all", CPU) is None
    assert judge_by(TrainingRun.open(tmp_path / "all"), TrainingRun.open(out)).scored.images == soup.images
    with pytest.raises(TrainingError, match="not means over the same seeds"):
        judge_by(TrainingRun.open(tmp_path / "all"), TrainingRun.open(tmp_path / "cv3"))
    assert (tmp_path / "all" / AVERAGE).exists()


def train_all(config: Config, seed: int, source: RunSources, folder: Path) -> TrainingRun:
    train(RunSpec(config.changed({"runtime.seed": seed}), source, folder / f"all{seed}", folder / "cache"), CPU)
    return TrainingRun.open(folder / f"all{seed}")


def test_runs_that_differ_are_not_averaged(tmp_path: Path, started: Config) -> None:
    source = folded(tmp_path)
    first = train_all(started, 3, source, tmp_path)
    other = train_all(started.changed({"loss.smoothing": 0.1}), 4, source, tmp_path)
    with pytest.raises(TrainingError, match="differ in more than the seed"):
        average([first, other], tmp_path / "mean", CPU)
    with pytest.raises(TrainingError, match=r"each with its own runtime.seed, not \[3, 3\]"):
        average([first, first], tmp_path / "mean", CPU)
    scratch = [train_all(started.changed({"model.weights": "scratch"}), seed, source, tmp_path) for seed in (5, 6)]
    with pytest.raises(TrainingError, match="did not start from an earlier run"):
        average(scratch, tmp_path / "mean", CPU)
    assert not (tmp_path / "mean").exists()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / WEIGHTS, weights_only=True)["state"]
    return state
