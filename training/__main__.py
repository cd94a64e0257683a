"""``python -m training``: from manifests to networks, and what they are worth. A killed run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from training.cohorts import read_cases
from training.commands import FILE, FOLDER, cache_of, device_option, run_options, source_of
from training.config import load_config
from training.crossval import cross_validate
from training.devices import process
from training.errors import TrainingError
from training.images import load
from training.labeller.command import label_reports
from training.looks import look
from training.prepare.command import join, prepare
from training.run import Run
from training.scores import Scored, summary
from training.shortcuts import each_alone, look_score, looks, matched
from training.statistics import auc
from training.train import train
from triage.errors import StartError
from triage.radiograph.preprocess import PreprocessSpec


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (TrainingError, StartError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, name="python -m training")
def main() -> None:
    """Train, compare and measure networks for chest radiographs.

    Several GPUs of one machine: torchrun --nproc-per-node N -m training train ...
    """


@main.command("train")
@run_options
def train_command(
    config: str,
    manifests: tuple[Path, ...],
    out: Path,
    changes: tuple[str, ...],
    without: Path | None,
    cache: Path | None,
    device: str,
) -> None:
    """Train one network by CONFIG: a TOML file, or one of training/configs by name."""
    with process(device) as here:
        scored = train(load_config(config, changes), source_of(manifests, without), out, cache_of(cache, out), here)
        if scored is not None and here.writes:
            _show(scored)


@main.command("cross-validate")
@run_options
@click.option("--fold", "folds", type=int, multiple=True, help="Only this fold; may be repeated.")
@click.option("--test", type=FILE, help="An external test manifest, scored by the mean of the folds' networks.")
@click.option("--test-split", "splits", multiple=True, help="Only rows of this split of --test.")
@click.option("--look-at-test", is_flag=True, help="Score --test: looks are counted in the run's folder.")
def cross_validate_command(
    config: str,
    manifests: tuple[Path, ...],
    out: Path,
    changes: tuple[str, ...],
    without: Path | None,
    cache: Path | None,
    device: str,
    folds: tuple[int, ...],
    test: Path | None,
    splits: tuple[str, ...],
    look_at_test: bool,
) -> None:
    """Train a network for each fold of patients left out; every row is scored out of fold."""
    source = source_of(manifests, without)
    with process(device) as here:
        scored = cross_validate(load_config(config, changes), source, out, cache_of(cache, out), here, folds)
        if here.writes:
            _show(scored)
        if test:
            found = look(Run.open(out), test, splits, here, allowed=look_at_test)
            if here.writes:
                _show(found)


@main.command("score")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--manifest", required=True, type=FILE)
@click.option("--split", "splits", multiple=True, help="Only rows of this split.")
@click.option("--look-at-test", is_flag=True, help="Looks are counted in the run's folder.")
@device_option
def score_command(run: Path, manifest: Path, splits: tuple[str, ...], look_at_test: bool, device: str) -> None:
    """Score a test set by the mean of RUN's networks: a table and figures in RUN."""
    with process(device) as here:
        scored = look(Run.open(run), manifest, splits, here, allowed=look_at_test)
        if here.writes:
            _show(scored)


@main.command("shortcuts")
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("--split", "splits", multiple=True, default=("train", "val", ""), show_default=True)
@click.option("--predictions", type=FILE, help="A run's predictions.csv: how it does where the look says nothing.")
@click.option("--size", default=160, show_default=True, help="Pixels at which images are looked at.")
@click.option("--cache", type=FOLDER, default=Path("runs/cache"), show_default=True, help="Decoded images.")
def shortcuts_command(
    manifests: tuple[Path, ...], splits: tuple[str, ...], predictions: Path | None, size: int, cache: Path
) -> None:
    """Say what sharpness, exposure and borders alone tell about the label, so that no network learns them instead."""
    cases = [case for case in read_cases(manifests) if case.split in splits]
    images = load(cases, PreprocessSpec(size=size), cache)
    labels = np.array([float(case.label) for case in cases])
    statistics = looks(images)
    for name, value in each_alone(statistics, labels).items():
        click.echo(f"{name:<26} AUC {value:.3f}")
    look = look_score(statistics, labels, [case.patient for case in cases])
    click.echo(f"{'all of them, out of fold':<26} AUC {auc(labels, look):.3f} ({len(cases)} images)")
    if predictions:
        _show_matched(Scored.read(predictions), dict(zip((str(case.image) for case in cases), look, strict=True)))


def _show_matched(scored: Scored, look: dict[str, float]) -> None:
    known = scored.where([image in look for image in scored.images])
    found = matched(known.labels, known.probabilities, np.array([look[image] for image in known.images]))
    click.echo(f"the run, {len(known.labels)} images: AUC {auc(known.labels, known.logits):.3f}")
    click.echo(f"the same where the look is alike: AUC {found.auc:.3f}")
    click.echo(f"specificity of {found.lookalikes} negatives that look positive: {found.lookalike_specificity:.3f}")


for command in (prepare, join, label_reports):
    main.add_command(command)


def _show(scored: Scored) -> None:
    click.echo(json.dumps(summary(scored), indent=1))


if __name__ == "__main__":
    main()
