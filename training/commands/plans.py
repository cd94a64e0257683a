"""Commands that work off a plan, keep its scores, and compare its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from training.commands.options import FOLDER, NEW_FILE, collected
from training.studies.confusion import confusion, overlaid_roc
from training.studies.confusion import markdown as matrices
from training.studies.course import course_of
from training.studies.course import markdown as courses
from training.studies.plan import load_plan
from training.studies.plan_results import Comparison, markdown, measure, pairs, pairs_markdown, table
from training.studies.plan_scores import Question, scores_of_run
from training.studies.plots import save
from training.studies.queue import Queue, harvest, work


@dataclass(frozen=True)
class PlanOptions:
    """Options of every command on a plan."""

    plan: str
    home: Path
    data: Path
    kept: Path

    def queue(self) -> Queue:
        """Return the queue of the plan's jobs. Raises TrainingError."""
        return Queue(load_plan(self.plan), self.home.resolve(), self.data.resolve(), self.kept.resolve())


_OPTIONS = (
    click.argument("plan"),
    click.option("--home", type=FOLDER, required=True, help="Manifests, runs, cache, log, pid and stop file."),
    click.option("--data", type=FOLDER, envvar="TRIAGE_DATA", required=True, help="The cohorts. [env: TRIAGE_DATA]"),
    click.option("--kept", type=FOLDER, required=True, help="Scores of finished folds, from any machine."),
)


def _plan_command(command: Callable[..., None]) -> Callable[..., None]:
    command = collected(PlanOptions)(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    parts = [each.partition("=") for each in given]
    if wrong := [column for column, equals, _ in parts if not equals]:
        raise click.BadParameter(f"{wrong[0]!r} is not COLUMN=VALUE", param=option)
    return [(column, value) for column, _, value in parts]


@click.command("work")
@_plan_command
def work_command(options: PlanOptions) -> None:
    """Train the untrained networks of PLAN, one at a time; a file HOME/stop ends it before the next one."""
    click.echo("finished" if work(options.queue(), measure) else "stopped")


@click.command("harvest")
@_plan_command
def harvest_command(options: PlanOptions) -> None:
    """Copy the scores of finished folds to --kept."""
    queue = options.queue()
    for path in harvest(queue):
        click.echo(str(path.relative_to(queue.kept)))


@dataclass(frozen=True)
class OutcomeOptions:
    """Options of ``outcome`` beyond the plan's."""

    runs: tuple[str, ...]
    tests: int
    output: str
    only: list[tuple[str, str]]
    within_folds: bool
    every_pair: bool


@click.command("outcome")
@_plan_command
@click.argument("runs", nargs=-1, required=True)
@click.option("--tests", type=click.IntRange(0), default=0, help="Comparisons of the plan, those to come included.")
@click.option("--output", default="", help="The output to compare; the first by default.")
@click.option(
    "--only", multiple=True, callback=_pairs, help="COLUMN=VALUE: only images with this value; may be repeated."
)
@click.option("--within-folds", is_flag=True, help="Order no image against one of another fold's network.")
@click.option("--pairs", "every_pair", is_flag=True, help="Compare every two of RUNS as well, P values over all pairs.")
def outcome_command(options: PlanOptions, **asked: Any) -> None:
    """Print a table of RUNS of PLAN: each against the first, on the images that both scored out of fold.

    A run may be a mean: base+base-seed-10+base-seed-20.
    """
    chosen = OutcomeOptions(**asked)
    how = Comparison(chosen.tests, _question(chosen.output, chosen.only), chosen.within_folds)
    queue = options.queue()
    click.echo(markdown(table(queue, chosen.runs, how)), nl=False)
    if chosen.every_pair:
        click.echo("\n" + pairs_markdown(pairs(queue, chosen.runs, how)), nl=False)


@click.command("confusion")
@_plan_command
@click.argument("runs", nargs=-1, required=True)
@click.option("--output", default="", help="The output to judge; the first by default.")
@click.option(
    "--only", multiple=True, callback=_pairs, help="COLUMN=VALUE: only images with this value; may be repeated."
)
@click.option("--roc", type=NEW_FILE, help="Their ROC curves, .png, .svg or .pdf.")
def confusion_command(
    options: PlanOptions, runs: tuple[str, ...], output: str, only: list[tuple[str, str]], roc: Path | None
) -> None:
    """Print what RUNS of PLAN call right and wrong at 0.5, out of fold, with exact intervals.

    RUN@COHORT is what the mean of the run's networks says of a test that the plan names.
    """
    queue, question = options.queue(), _question(output, only)
    scored = [(run, scores_of_run(queue, run, None, question)) for run in runs]
    click.echo(matrices([confusion(run, one) for run, one in scored]), nl=False)
    if roc:
        save(overlaid_roc(scored), roc)


@click.command("course")
@_plan_command
@click.argument("runs", nargs=-1, required=True)
@click.option("--reach", "levels", type=click.FloatRange(0.5, 1), multiple=True, help="An AUC; may be repeated.")
def course_command(options: PlanOptions, runs: tuple[str, ...], levels: tuple[float, ...]) -> None:
    """Print the AUC of RUNS of PLAN after some epochs, and in which epoch each fold reached an AUC."""
    queue = options.queue()
    click.echo(courses([course_of(queue, run) for run in runs], levels), nl=False)


def _question(output: str, only: list[tuple[str, str]]) -> Question:
    return Question(output, {column: frozenset(value for name, value in only if name == column) for column, _ in only})


COMMANDS: tuple[click.Command, ...] = (
    work_command,
    harvest_command,
    outcome_command,
    confusion_command,
    course_command,
)
