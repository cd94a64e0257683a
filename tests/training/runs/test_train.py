"""Training: it learns, it repeats, it goes on after a kill, and it says why it will not start."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.support.cohort_images import TINY, write_cohort
from tests.support.wait import wait_for
from training import files
from training.cli import main
from training.config import AugmentationConfig, Config, LossConfig, ScheduleConfig
from training.data.augmentation import vary
from training.errors import TrainingError
from training.networks.losses import batch_loss, class_loss, known_targets
from training.runs import loop as trainer
from training.runs.checkpoint import LAST, checkpoint_bytes, move_average
from training.runs.devices import Process
from training.runs.learning_rate import LossProgress, rate_factor
from training.runs.loop import BEST, LOG
from training.runs.run import RECORD, WEIGHTS, RunSources, RunSpec, TrainingRun, load_network, start_network
from training.runs.scores import OUTPUTS, RunScores, figures
from training.runs.train import decode, train
from triage.validation.cohort.manifest import read_manifest, write_manifest

CPU = Process(torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def tiny(**changes: Any) -> Config:
    return Config.model_validate(TINY).changed({name.replace("__", "."): value for name, value in changes.items()})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / WEIGHTS, weights_only=True)["state"]
    return state


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_everything_of_the_run_is_in_its_folder(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 96)
    scored = train(
        RunSpec(tiny(schedule__epochs=6), RunSources((manifest,)), tmp_path / "run", tmp_path / "cache"), CPU
    )
    assert scored is not None
    assert figures(scored)["auc"] > 0.9
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert record["config"]["optimizer"]["momentum"] == 0.9  # resolved, also what was not said
    assert (
        record["environment"]["torch"] == torch.__version__.partition("+")[0] or "+" in record["environment"]["torch"]
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 7))
    assert lines[-1]["validation_loss"] == pytest.approx(min(line["validation_loss"] for line in lines), abs=1)
    read = RunScores.read(tmp_path / "run" / "predictions.csv")
    assert np.array_equal(read.logits.astype(np.float32), scored.logits.astype(np.float32))
    assert set(read.patients) == set(TrainingRun.open(tmp_path / "run").validation_patients)


def test_the_best_weights_are_those_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    scored = train(
        RunSpec(tiny(optimizer__learning_rate=0.03), RunSources((manifest,)), tmp_path / "run", tmp_path / "cache"), CPU
    )
    assert scored is not None
    losses = [json.loads(line)["validation_loss"] for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert figures(scored)["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_seed_repeats_a_run_and_another_one_does_not(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 32),))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(RunSpec(tiny(schedule__epochs=1, runtime__seed=seed), source, tmp_path / name, tmp_path / "cache"), CPU)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def arguments(folder: Path, out: str, *more: str) -> list[str]:
    return [
        "train",
        str(folder / "tiny.toml"),
        "--manifest",
        str(folder / "cohort.csv"),
        "-o",
        str(folder / out),
        *more,
    ]


def write_tiny(folder: Path, **tables: str) -> None:
    """TINY as TOML."""
    lines = []
    for table, values in TINY.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    (folder / "tiny.toml").write_text("\n".join(lines))


def steps_done(folder: Path) -> int:
    """Return the steps of the last checkpoint; an epoch has nine."""
    if not (folder / LAST).exists():
        return 0
    saved = torch.load(folder / LAST, weights_only=True)
    return int(saved["epoch"]) * 9 + int(saved["step"])


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    """Killed with SIGKILL within the first epoch and again later."""
    write_cohort(tmp_path, 96)
    write_tiny(tmp_path)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "training", *arguments(tmp_path, "killed", "--device", "cpu")]
    stopped = []
    for least in (1, 12):
        child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for(lambda least=least: steps_done(killed) >= least, f"step {least}", 120)  # type: ignore[misc]
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        stopped.append(steps_done(killed))
    assert 1 <= stopped[0] <= stopped[1]
    assert not (killed / WEIGHTS).exists() or stopped[1] == 27
    assert CliRunner().invoke(main, arguments(tmp_path, "killed", "--device", "cpu")).exit_code == 0
    assert CliRunner().invoke(main, arguments(tmp_path, "whole", "--device", "cpu")).exit_code == 0
    assert same(weights(killed), weights(whole))
    assert (killed / LOG).read_text() == (whole / LOG).read_text()


def test_a_kill_between_the_last_checkpoint_and_the_log_costs_no_line(tmp_path: Path) -> None:
    source, folder = RunSources((write_cohort(tmp_path, 32),)), tmp_path / "run"
    train(RunSpec(tiny(), source, folder, tmp_path / "cache"), CPU)
    whole = (folder / LOG).read_text()
    (folder / WEIGHTS).unlink()
    (folder / LOG).write_text("".join(whole.splitlines(keepends=True)[:-1]))
    train(RunSpec(tiny(), source, folder, tmp_path / "cache"), CPU)
    assert (folder / LOG).read_text() == whole


def test_too_little_disk_for_checkpoints_is_an_error_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = RunSources((write_cohort(tmp_path, 32),)), tmp_path / "run"
    config = tiny(schedule__epochs=1)
    decode(source.cases(), RunSpec(config, source, folder, tmp_path / "cache"), CPU)
    free = SimpleNamespace(free=checkpoint_bytes(start_network(config)) + (63 << 20))
    monkeypatch.setattr(
        files.shutil, "disk_usage", lambda path: free if path == folder else SimpleNamespace(free=1 << 40)
    )
    with pytest.raises(TrainingError, match=r"run: checkpoints and weights need .* give --out a folder with more room"):
        train(RunSpec(config, source, folder, tmp_path / "cache"), CPU)
    assert not (folder / LOG).exists()


def test_mixed_precision_trains(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 32),))
    train(
        RunSpec(tiny(schedule__epochs=1, runtime__precision="bf16"), source, tmp_path / "run", tmp_path / "cache"), CPU
    )
    assert all(torch.isfinite(weight).all() for weight in weights(tmp_path / "run").values())


def test_a_run_recorded_before_a_key_was_there_goes_on(tmp_path: Path) -> None:
    source, record = RunSources((write_cohort(tmp_path, 32),)), tmp_path / "run" / RECORD
    train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU)
    written = json.loads(record.read_text())
    del written["config"]["agreement"]
    record.write_text(json.dumps(written))
    assert train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU) is not None
    record.write_text(json.dumps({**written, "config": {**written["config"], "gone": 1}}))
    with pytest.raises(TrainingError, match="holds a run with another config"):
        train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU)


def test_a_folder_of_another_run_is_not_continued(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 32),))
    train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU)
    with pytest.raises(TrainingError, match="holds a run with another config"):
        train(RunSpec(tiny(schedule__epochs=2), source, tmp_path / "run", tmp_path / "cache"), CPU)


def test_measuring_at_the_end_only_changes_nothing_but_the_log(tmp_path: Path) -> None:
    source, found = RunSources((write_cohort(tmp_path, 32),)), []
    for when in ("each", "end"):
        config = tiny(schedule__epochs=2, schedule__choose="last", schedule__validate_after=when)
        found.append(train(RunSpec(config, source, tmp_path / when, tmp_path / "cache"), CPU))
    assert found[0] is not None and found[1] is not None
    assert np.array_equal(found[0].logits, found[1].logits)
    logged = [json.loads((tmp_path / when / LOG).read_text().splitlines()[-1]) for when in ("each", "end")]
    assert ["validation_auc" in line for line in logged] == [True, False]


def test_every_output_of_what_validates_is_kept_by_its_pictures_public_name(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 32)
    rows = read_manifest(manifest)
    named = [replace(row, columns={**row.columns, "picture": f"nih:{number}"}) for number, row in enumerate(rows)]
    write_manifest(manifest, [rows[0], *named[1:]])
    config = tiny(schedule__epochs=1).changed({"targets": {"abnormal": {}, "other": {"column": "other_label"}}})
    scored = train(RunSpec(config, RunSources((manifest,)), tmp_path / "run", tmp_path / "cache"), CPU)
    assert scored is not None
    with (tmp_path / "run" / OUTPUTS).open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert list(kept[0]) == ["picture", "fold", "abnormal", "other"]
    logits = {
        f"nih:{number}": scored.logits[scored.images.index(str(row.image.resolve()))]
        for number, row in enumerate(rows)
        if number and str(row.image.resolve()) in scored.images
    }
    assert {row["picture"]: float(row["abnormal"]) for row in kept} == pytest.approx(logits, rel=1e-4)


def test_early_stopping_ends_a_run_that_does_not_improve(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 48),))
    config = tiny(schedule__epochs=40, schedule__stop_after=1, optimizer__learning_rate=0.05, schedule__averaging=0.0)
    train(RunSpec(config, source, tmp_path / "run", tmp_path / "cache"), CPU)
    lines = (tmp_path / "run" / LOG).read_text().splitlines()
    assert 2 <= len(lines) < 40
    assert (tmp_path / "run" / BEST).exists()


def test_few_images_are_shown_until_there_are_enough_steps(tmp_path: Path) -> None:
    """38 images in batches of 8 are 4 steps; three epochs of 12 make 36, the first multiple above 30."""
    source = RunSources((write_cohort(tmp_path, 48),))
    train(RunSpec(tiny(schedule__least_steps=30), source, tmp_path / "run", tmp_path / "cache"), CPU)
    saved = torch.load(tmp_path / "run" / LAST, weights_only=True)
    assert saved["network"]["trunk.1.num_batches_tracked"] == 36
    assert len((tmp_path / "run" / LOG).read_text().splitlines()) == 3


def test_a_run_of_before_a_key_was_there_goes_on(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 32),))
    train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU)
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    del record["config"]["schedule"]["least_steps"]
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    assert train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "run", tmp_path / "cache"), CPU) is not None


def test_an_earlier_run_is_where_another_starts(tmp_path: Path) -> None:
    source = RunSources((write_cohort(tmp_path, 32),))
    train(RunSpec(tiny(schedule__epochs=1), source, tmp_path / "adult", tmp_path / "cache"), CPU)
    adult = weights(tmp_path / "adult")
    again = start_network(tiny(model__weights=f"run:{tmp_path / 'adult'}")).state_dict()
    assert same(again, adult)
    other = Config.model_validate({**TINY, "targets": {"pneumonia": {}}, "model": {"architecture": "resnet18-w4"}})
    child = start_network(other.changed({"model.weights": f"run:{tmp_path / 'adult'}"})).state_dict()
    assert torch.equal(child["trunk.0.weight"], adult["trunk.0.weight"])
    assert not torch.equal(child["head.weight"], adult["head.weight"])
    with pytest.raises(TrainingError, match="is a run of resnet18-w4, not of resnet18-w8"):
        start_network(tiny(model__architecture="resnet18-w8", model__weights=f"run:{tmp_path / 'adult'}"))
    with pytest.raises(TrainingError, match="the run is not finished"):
        start_network(tiny(model__weights=f"run:{tmp_path / 'nothing'}"))


def test_several_outputs_train_together_and_unknown_targets_count_nothing(tmp_path: Path) -> None:
    first, second = write_cohort(tmp_path, 32, name="first"), write_cohort(tmp_path, 32, name="second")
    targets = {
        "abnormal": {"source": "first"},
        "odd": {"column": "other_label", "source": "second", "loss": {"kind": "gce"}},
        "age": {"column": "age", "kind": "number", "mean": 30, "deviation": 10},
    }
    config = Config.model_validate({**TINY, "targets": targets}).changed(
        {"schedule.epochs": 1, "data.repeat": {"second": 2}}
    )
    scored = train(RunSpec(config, RunSources((first, second)), tmp_path / "run", tmp_path / "cache"), CPU)
    assert scored is not None
    assert set(scored.sources) == {"first"}
    assert load_network(tmp_path / "run")(torch.zeros(1, 1, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "schedule.batch_size=512"), "38 training images are fewer than a batch"),
        (("--set", "model.weights=imagenet"), "no ImageNet weights"),
        (("--set", "model.architecture=alexnet"), "alexnet does not take 32 px"),
        (("--set", "optimizer.rate=1"), "optimizer.rate: Extra inputs"),
        (("--device", "cuda"), "sees no GPU"),
        (("--set", "runtime.precision=fp16", "--device", "cpu"), "fp16 needs a GPU"),
    ],
)
def test_the_command_says_what_keeps_it_from_training(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    write_cohort(tmp_path, 48)
    write_tiny(tmp_path)
    result = CliRunner().invoke(main, arguments(tmp_path, "run", *options))
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "run" / LOG).exists()


def test_the_schedule_warms_up_and_falls() -> None:
    schedule = ScheduleConfig(epochs=1, batch_size=1, shape="cosine", warmup=0.2)
    rates = [rate_factor(schedule, step, 100) for step in range(100)]
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[20] == 1 and rates[-1] < 0.01


def test_a_plateau_cuts_the_rate_as_torch_does() -> None:
    schedule = ScheduleConfig(epochs=50, batch_size=1, shape="plateau", factor=0.1, patience=5)
    losses = [1.0, 0.9, *[0.95] * 7, 0.8, *[0.9] * 13]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=5, threshold=0)
    progress = LossProgress()
    for loss in losses:
        theirs.step(loss)
        progress = progress.after(loss, schedule)
        assert progress.factor == pytest.approx(optimizer.param_groups[0]["lr"])


def test_robust_losses_forgive_a_wrong_label() -> None:
    logits, labels = torch.tensor([4.0, -4.0]), torch.tensor([0.0, 1.0])  # confident, and both against the label
    plain, robust, bootstrapped = (
        class_loss(logits, labels, LossConfig(kind=kind)) for kind in ("bce", "gce", "bootstrap")
    )
    assert (robust < 0.5 * plain).all()
    assert (bootstrapped < plain).all()
    small = class_loss(logits, labels, LossConfig(kind="gce", q=1e-3))
    assert torch.allclose(small, plain, rtol=0.01)


def test_unknown_targets_bring_no_gradient() -> None:
    logits = torch.zeros(3, 2, requires_grad=True)
    targets = torch.tensor([[1.0, float("nan")], [0.0, float("nan")], [float("nan"), 2.0]])
    batch_loss(logits, targets, torch.ones(3, 2), (LossConfig(), None)).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[False, True], [False, True], [True, False]]


def test_processes_that_share_a_batch_learn_what_one_learns_of_all_of_it() -> None:
    drawn = torch.Generator().manual_seed(0)
    logits, weights = torch.randn(8, 2, generator=drawn), torch.rand(8, 2, generator=drawn)
    targets = torch.randint(0, 2, (8, 2), generator=drawn).float()
    targets[[0, 1, 5], 0] = float("nan")
    targets[4:, 1] = float("nan")  # the second knows none of it
    losses = (LossConfig(), LossConfig())
    whole = batch_loss(logits, targets, weights, losses)

    shares = [slice(0, 8, 2), slice(1, 8, 2)], [slice(0, 4), slice(4, 8)]
    for parts in shares:
        mean = sum(known_targets(targets[part]) for part in parts) / 2
        each = [batch_loss(logits[part], targets[part], weights[part], losses, mean) for part in parts]
        assert float(sum(each) / 2) == pytest.approx(float(whole), abs=1e-6)


def test_images_vary_by_the_generator_only() -> None:
    levels = torch.rand(3, 1, 40, 40)
    how = AugmentationConfig(
        mirror=True, crop="random", rotation=10, scale=0.1, gamma=0.3, contrast=0.2, blur=1, noise=0.1
    )
    first, second, third = (vary(levels, 32, how, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 1, 32, 32)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_without_changes_the_image_stays_and_a_centre_crop_is_its_middle() -> None:
    levels = torch.rand(2, 1, 40, 40)
    draw = torch.Generator().manual_seed(0)
    assert torch.allclose(vary(levels, 40, AugmentationConfig(), draw), levels, atol=1e-5)
    middle = vary(levels, 32, AugmentationConfig(crop="centre"), draw)
    assert torch.allclose(middle, levels[..., 4:36, 4:36], atol=1e-4)


@pytest.mark.parametrize("largest", [0.5, 1e6])
def test_gradients_are_clipped_as_torch_does(largest: float) -> None:
    ours, theirs = (torch.nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(4, 3)
    for network in (ours, theirs):
        (network(images) ** 2).sum().backward()
    trainer._clip(ours, largest)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), largest)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert torch.allclose(one.grad, other.grad)


def test_variation_fades_to_none() -> None:
    how = AugmentationConfig(mirror=True, crop="random", rotation=10, noise=0.4, fade=0.5)
    assert how.at(0.5) == how
    half = how.at(0.75)
    assert (half.rotation, half.noise, half.mirror, half.crop) == (5, 0.2, True, "random")
    assert how.at(1.0).rotation == 0
    assert AugmentationConfig(rotation=10).at(1.0).rotation == 10


def test_the_average_moves_towards_the_weights() -> None:
    old, new = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
    with torch.no_grad():
        new.weight += 1
        new.num_batches_tracked += 7
    move_average(old, new, 0.75)
    assert old.weight.tolist() == [1.25, 1.25]
    assert int(old.num_batches_tracked) == 7
