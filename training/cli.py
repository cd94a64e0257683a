"""``python -m training``: commands from manifests to networks and their figures. A killed run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.commands.damage import damage
from training.commands.judge import judge
from training.commands.label_reports import label_reports
from training.commands.options import FILE, MessageCommand, TrainingRunOptions, device_option, fold_option, run_options
from training.commands.orientation import orientation
from training.commands.prepare import join, prepare
from training.commands.projection import projection
from training.commands.shortcuts import shortcuts, split_by_appearance_command
from training.commands.studies import COMMANDS
from training.commands.with_reader import with_reader
from training.runs.cross_validation import cross_validate
from training.runs.devices import process
from training.runs.run import TrainingRun
from training.runs.scores import RunScores, summary
from training.runs.test_set_looks import TestSet, look
from training.runs.train import train

RENAMED = {"split-by-look": "split-by-appearance"}
"""Commands under their names before 0.2.0, which are understood until 0.3.0."""


class _TrainingCommands(MessageCommand, click.Group):
    """Commands under present and former names; errors are shown as their message alone."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its present name, or by its former one with a warning."""
        if present := RENAMED.get(cmd_name):
            click.echo(f"{cmd_name} is called {present} now; the old name goes with 0.3.0", err=True)
            return super().get_command(ctx, present)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_TrainingCommands, name="python -m training")
def main() -> None:
    """Train, compare and measure networks for chest radiographs.

    Several GPUs of one machine: torchrun --nproc-per-node N -m training train ...
    """


@main.command("train")
@run_options
def train_command(options: TrainingRunOptions) -> None:
    """Train one network by CONFIG: a TOML file, or one of training/configs by name."""
    with process(options.device) as here:
        scored = train(options.spec(), here)
        if scored is not None and here.writes:
            _show(scored)


@main.command("cross-validate")
@run_options
@fold_option
@click.option("--test", type=FILE, help="An external test manifest, scored by the mean of the folds' networks.")
@click.option("--test-split", "splits", multiple=True, help="Only rows of this split of --test.")
@click.option("--look-at-test", is_flag=True, help="Score --test: looks are counted in the run's folder.")
def cross_validate_command(
    options: TrainingRunOptions, folds: tuple[int, ...], test: Path | None, splits: tuple[str, ...], look_at_test: bool
) -> None:
    """Train a network for each fold of patients left out; every row is scored out of fold."""
    with process(options.device) as here:
        scored = cross_validate(options.spec(), here, folds)
        if here.writes:
            _show(scored)
        if test:
            found = look(TrainingRun.open(options.out), TestSet(test, splits), here, allowed=look_at_test)
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
        scored = look(TrainingRun.open(run), TestSet(manifest, splits), here, allowed=look_at_test)
        if here.writes:
            _show(scored)


for _command in (
    prepare,
    join,
    label_reports,
    orientation,
    projection,
    shortcuts,
    split_by_appearance_command,
    damage,
    with_reader,
    judge,
    *COMMANDS,
):
    main.add_command(_command)


def _show(scored: RunScores) -> None:
    click.echo(json.dumps(summary(scored), indent=1))
