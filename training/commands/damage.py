"""Command ``damage``."""

from __future__ import annotations

from pathlib import Path

import click

from training.commands.options import FILE, device_option
from training.data.cases import read_cases
from training.data.damage import DAMAGES
from training.errors import TrainingError
from training.runs.devices import process
from training.studies.damaged import judge_of, lines, rows


@click.command("damage")
@click.argument("target", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("--split", "splits", multiple=True, help="Only rows of this split.")
@click.option("--only", "names", type=click.Choice(list(DAMAGES)), multiple=True, help="Only this damage.")
@device_option
def damage(
    target: Path, manifests: tuple[Path, ...], splits: tuple[str, ...], names: tuple[str, ...], device: str
) -> None:
    """Print what noise, lossy compression, lost detail and other greys change.

    TARGET is the folder of a cross-validation (each image is scored by the network that left it out) or an exported
    model's, which may be judged by images that it did not learn from alone.
    """
    cases = [case for case in read_cases(manifests) if not splits or case.split in splits]
    if not cases:
        raise TrainingError(f"no row is in a split of {list(splits)}")
    with process(device) as here:
        for row in rows(lines(judge_of(target, cases, here), names)):
            click.echo(row)
