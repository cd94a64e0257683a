"""What the commands of ``python -m training`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from training.data.cases import read_patients
from training.runs.run import RunSources

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def run_options(command: F) -> F:
    """Configuration, manifests and folders, of every command that trains."""
    options = (
        click.argument("config"),
        click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated."),
        click.option("-o", "--out", required=True, type=FOLDER, help="Folder of the run; an unfinished one goes on."),
        click.option("--set", "changes", multiple=True, help="KEY=VALUE of the configuration, as input.size=320."),
        click.option("--without", type=FILE, help="Patients to leave out, one a line."),
        click.option("--cache", type=FOLDER, help="Decoded images. [default: the folder cache beside --out]"),
        device_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def device_option(command: F) -> F:
    """Where to compute."""
    return click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)(
        command
    )


def source_of(manifests: tuple[Path, ...], without: Path | None) -> RunSources:
    """The rows that the options name."""
    return RunSources(manifests, read_patients(without) if without else frozenset())


def cache_of(cache: Path | None, out: Path) -> Path:
    """The folder of decoded images."""
    return cache or out.resolve().parent / "cache"
