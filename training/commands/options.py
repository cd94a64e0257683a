"""Common parts of the commands of ``python -m training``: options, values of options, errors as messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from training.config import load_config
from training.data.cases import read_patients
from training.runs.run import RunSources, RunSpec
from triage.errors import TriageError

R = TypeVar("R")

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

fold_option = click.option("--fold", "folds", type=int, multiple=True, help="Only this fold; may be repeated.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to compute on.",
)
cache_option = click.option(
    "--cache", type=FOLDER, default=Path("runs/cache"), show_default=True, help="Folder of decoded images."
)


class MessageCommand(click.Command):
    """A command, or a group of them, whose errors are shown as their message alone."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises ClickException with the message of a TriageError."""
        try:
            return super().invoke(ctx)
        except TriageError as error:
            raise click.ClickException(str(error)) from error


def collected(kind: type[Any]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Collect the options that are fields of the dataclass ``kind`` into one value, the command's first argument."""
    names = [field.name for field in fields(kind)]

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @wraps(command)
        def call(**values: object) -> R:
            options = kind(**{name: values.pop(name) for name in names})
            return command(options, **values)

        return call

    return decorate


@dataclass(frozen=True)
class TrainingRunOptions:
    """Options of every command that trains; see ``run_options``."""

    config: str
    manifests: tuple[Path, ...]
    out: Path
    changes: tuple[str, ...]
    without: Path | None
    cache: Path | None
    device: str

    def spec(self) -> RunSpec:
        """Return the run that the options describe. Raises TrainingError."""
        left_out = read_patients(self.without) if self.without else frozenset()
        return RunSpec(
            config=load_config(self.config, self.changes),
            source=RunSources(self.manifests, left_out),
            folder=self.out,
            cache=self.cache or self.out.resolve().parent / "cache",
        )


_RUN_OPTIONS = (
    click.argument("config"),
    click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated."),
    click.option("-o", "--out", required=True, type=FOLDER, help="Folder of the run; an unfinished one goes on."),
    click.option("--set", "changes", multiple=True, help="KEY=VALUE of the configuration, as input.size=320."),
    click.option("--without", type=FILE, help="Patients to leave out, one a line."),
    click.option("--cache", type=FOLDER, help="Decoded images. [default: the folder cache next to --out]"),
    device_option,
)


def run_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of a command that trains; its first argument is the ``TrainingRunOptions``."""
    command = collected(TrainingRunOptions)(command)
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command
