"""``python -m training COMMAND``: cohorts to manifests, manifests to runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from training.cohorts import CohortError
from training.config import load_config
from training.labeller.command import label_reports
from training.prepare.command import join, prepare
from training.recipes import RECIPES


@click.group()
def main() -> None:
    """Prepare cohorts, and train on them."""


main.add_command(prepare)
main.add_command(join)
main.add_command(label_reports)


@main.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Cohorts; default: TRIAGE_DATA.")
def train(config: Path, out: Path, data: Path | None) -> None:
    """Train what CONFIG says into the folder --out; run again to resume."""
    folder = data or Path(os.environ.get("TRIAGE_DATA", ""))
    try:
        settings = load_config(config)
        RECIPES[settings.recipe](settings, folder, out)
    except CohortError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
