"""Options that several cohorts share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

DEFAULT_SEED = 2020

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def seed() -> click.Option:
    """The seed of every draw."""
    return click.Option(
        ["--seed"], type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the splits that are drawn."
    )


def validation(default: float = 0.1) -> click.Option:
    """The share of train that becomes split val."""
    return click.Option(
        ["--validation"],
        type=click.FloatRange(0, 0.5),
        default=default,
        show_default=True,
        help="Share of the training images that becomes split val, by patient; 0 for none.",
    )


def folds() -> click.Option:
    """Folds over train and val."""
    return click.Option(
        ["--folds"],
        type=click.IntRange(0, 100),
        default=0,
        show_default=True,
        help="Folds over train and val together, by patient; 0 for none. The paper has 7.",
    )


def test(default: float = 0.2) -> click.Option:
    """The share of everything that becomes split test."""
    return click.Option(
        ["--test"],
        type=click.FloatRange(0, 0.9),
        default=default,
        show_default=True,
        help="Share of the images that becomes split test, by patient, where the source has no split of its own.",
    )


def drawn() -> tuple[click.Option, ...]:
    """Seed, validation and folds."""
    return seed(), validation(), folds()


def choice(name: str, values: Sequence[str], default: str, text: str) -> click.Option:
    """One of ``values``."""
    return click.Option([name], type=click.Choice(list(values)), default=default, show_default=True, help=text)


def file(name: str, text: str) -> click.Option:
    """A file that exists."""
    return click.Option([name], type=_FILE, help=text)


def folder(name: str, text: str) -> click.Option:
    """A folder that exists."""
    return click.Option([name], type=_FOLDER, help=text)


def path(name: str, text: str) -> click.Option:
    """A file or folder that exists."""
    return click.Option([name], type=click.Path(exists=True, path_type=Path), help=text)


def flag(name: str, text: str) -> click.Option:
    """A switch, off unless given."""
    return click.Option([name], is_flag=True, help=text)


def text(name: str, help_text: str, default: str | None = None, required: bool = False) -> click.Option:
    """A text."""
    return click.Option([name], default=default, show_default=default is not None, required=required, help=help_text)


def texts(name: str, help_text: str, default: tuple[str, ...]) -> click.Option:
    """A text that may be given several times."""
    return click.Option([name], multiple=True, default=default, show_default=True, help=help_text)


def ages(default: str) -> click.Option:
    """Adults or everybody."""
    return choice("--ages", ("adults", "all"), default, "Adults only (others get split not-adult), or everybody.")
