"""Commands that work a plan off, keep its scores, and say what they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from training.commands.options import FOLDER
from training.studies.plan import load_plan
from training.studies.plan_results import markdown, measure, table
from training.studies.plan_scores import Question
from training.studies.queue import Queue, harvest, work

_options = (
    click.argument("plan"),
    click.option("--home", type=FOLDER, required=True, help="Manifests, runs, cache, log, pid and stop file."),
    click.option("--data", type=FOLDER, envvar="TRIAGE_DATA", required=True, help="The cohorts. [env: TRIAGE_DATA]"),
    click.option("--kept", type=FOLDER, required=True, help="Scores of finished folds, on whatever machine they were."),
)


def _plan_command(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_options):
        command = option(command)
    return command


def _queue(plan: str, options: dict[str, Any]) -> Queue:
    folders: dict[str, Path] = {name: options[name].resolve() for name in ("home", "data", "kept")}
    return Queue(load_plan(plan), **folders)


def _pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    parts = [each.partition("=") for each in given]
    if wrong := [column for column, equals, _ in parts if not equals]:
        raise click.BadParameter(f"{wrong[0]!r} is not COLUMN=VALUE", param=option)
    return [(column, value) for column, _, value in parts]


@click.command("work")
@_plan_command
def work_command(plan: str, **options: Any) -> None:
    """Train what PLAN has and nobody trained yet, one network at a time; a file HOME/stop ends it before the next."""
    click.echo("finished" if work(_queue(plan, options), measure) else "stopped")


@click.command("harvest")
@_plan_command
def harvest_command(plan: str, **options: Any) -> None:
    """Copy the scores of finished folds to --kept."""
    for path in harvest(_queue(plan, options)):
        click.echo(str(path.relative_to(options["kept"].resolve())))


@click.command("outcome")
@_plan_command
@click.argument("runs", nargs=-1, required=True)
@click.option("--tests", type=click.IntRange(0), default=0, help="Comparisons of the plan, those to come included.")
@click.option("--output", default="", help="The output that is asked about; the first where none is named.")
@click.option(
    "--only", multiple=True, callback=_pairs, help="COLUMN=VALUE: images with this value, or another so named."
)
def outcome_command(
    plan: str, runs: tuple[str, ...], tests: int, output: str, only: list[tuple[str, str]], **options: Any
) -> None:
    """A table of RUNS of PLAN: each against the first, on the images that both scored out of fold.

    A run may be a mean: base+base-seed-10+base-seed-20.
    """
    values = {column: frozenset(value for name, value in only if name == column) for column, _ in only}
    click.echo(markdown(table(_queue(plan, options), runs, tests, Question(output, values))), nl=False)


COMMANDS: tuple[click.Command, ...] = (work_command, harvest_command, outcome_command)
