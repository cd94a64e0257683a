"""``triage readers``: local readers read cases, blinded."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import start_errors
from triage.runtime.logs import set_up_logs

SECTION = CommandSection.RESEARCH


@click.group()
def readers() -> None:
    """Have local readers read one's own cases, blinded, and make labels of their answers."""


@readers.command("serve")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cases", type=click.Path(exists=True, path_type=Path), help="Folder of images, or a manifest (CSV).")
@click.option("--reader", "names", multiple=True, metavar="NAME", help="Who reads.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="Port on loopback.")
@click.option(
    "--idle-seconds",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="How long a pause without input counts as reading.",
)
def readers_serve(folder: Path, cases: Path | None, names: tuple[str, ...], port: int, idle_seconds: float) -> None:
    """Begin the study in FOLDER or go on with it, and serve its page on loopback until Ctrl-C."""
    set_up_logs("WARNING")
    from triage.commands.output.readers import serve

    with start_errors():
        serve(folder, cases, names, port, idle_seconds)


@readers.command("labels")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def readers_labels(folder: Path) -> None:
    """Write the labels of the study in FOLDER: one file for each reader, one with the majority of all."""
    from triage.commands.output.readers import labels

    with start_errors():
        click.echo(labels(folder), nl=False)
