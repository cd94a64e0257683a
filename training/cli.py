"""``python -m training``: from manifests to networks, and what they are worth. A killed run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from training.commands.label_reports import label_reports
from training.commands.options import FILE, cache_of, device_option, run_options, source_of
from training.commands.orientation import orientation
from training.commands.prepare import join, prepare
from training.commands.projection import projection
from training.commands.shortcuts import shortcuts, split_by_look_command
from training.commands.studies import COMMANDS
from training.config import load_config
from training.errors import TrainingError
from training.runs.cross_validation import cross_validate
from training.runs.devices import process
from training.runs.run import TrainingRun
from training.runs.scores import RunScores, summary
from training.runs.test_set_looks import look
from training.runs.train import train
from triage.errors import StartError


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
            found = look(TrainingRun.open(out), test, splits, here, allowed=look_at_test)
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
        scored = look(TrainingRun.open(run), manifest, splits, here, allowed=look_at_test)
        if here.writes:
            _show(scored)


for _command in (prepare, join, label_reports, orientation, projection, shortcuts, split_by_look_command, *COMMANDS):
    main.add_command(_command)


def _show(scored: RunScores) -> None:
    click.echo(json.dumps(summary(scored), indent=1))
