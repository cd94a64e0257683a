"""Command line options that several cohorts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

DEFAULT_SEED = 2020


@dataclass(frozen=True)
class DrawOptions:
    """Options of drawn splits: seed, share of train that becomes val, number of folds (0 for none)."""

    seed: int
    validation: float
    folds: int


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def seed() -> click.Option:
    """Return the option of the seed of every draw."""
    return click.Option(
        ["--seed"], type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the splits that are drawn."
    )


def validation(default: float = 0.1) -> click.Option:
    """Return the option of the share of train that becomes split val."""
    return click.Option(
        ["--validation"],
        type=click.FloatRange(0, 0.5),
        default=default,
        show_default=True,
        help="Share of the training images that becomes split val, by patient; 0 for none.",
    )


def folds() -> click.Option:
    """Return the option of the number of folds over train and val."""
    return click.Option(
        ["--folds"],
        type=click.IntRange(0, 100),
        default=0,
        show_default=True,
        help="Folds over train and val together, by patient; 0 for none. The paper has 7.",
    )


def test(default: float = 0.2) -> click.Option:
    """Return the option of the share of all images that becomes split test."""
    return click.Option(
        ["--test"],
        type=click.FloatRange(0, 0.9),
        default=default,
        show_default=True,
        help="Share of the images that becomes split test, by patient, where the source has no split of its own.",
    )


def drawn() -> tuple[click.Option, ...]:
    """Return the options of ``DrawOptions``: seed, validation and folds."""
    return seed(), validation(), folds()


def choice(name: str, values: Sequence[str], default: str, text: str) -> click.Option:
    """Return an option with one of ``values``."""
    return click.Option([name], type=click.Choice(list(values)), default=default, show_default=True, help=text)


def file(name: str, text: str) -> click.Option:
    """Return an option that names an existing file."""
    return click.Option([name], type=_FILE, help=text)


def folder(name: str, text: str) -> click.Option:
    """Return an option that names an existing folder."""
    return click.Option([name], type=_FOLDER, help=text)


def path(name: str, text: str) -> click.Option:
    """Return an option that names an existing file or folder."""
    return click.Option([name], type=click.Path(exists=True, path_type=Path), help=text)


def flag(name: str, text: str) -> click.Option:
    """Return a switch that is off by default."""
    return click.Option([name], is_flag=True, help=text)


def text(name: str, help_text: str, default: str | None = None, required: bool = False) -> click.Option:
    """Return an option with a text."""
    return click.Option([name], default=default, show_default=default is not None, required=required, help=help_text)


def texts(name: str, help_text: str, default: tuple[str, ...]) -> click.Option:
    """Return an option with a text that may be given several times."""
    return click.Option([name], multiple=True, default=default, show_default=True, help=help_text)


def ages(default: str) -> click.Option:
    """Return the option that limits a cohort to adults."""
    return choice("--ages", ("adults", "all"), default, "Adults only (others get split not-adult), or all ages.")
