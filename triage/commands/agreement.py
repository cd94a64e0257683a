"""``triage agreement``: published labels and readers compared."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import PATH, CannotStart, Invocation, given, start_errors, write_or_print

SECTION = CommandSection.RESEARCH


@click.command()
@click.option("--data", type=PATH, help="Folder of the lists; default: TRIAGE_DATA.")
@click.option("--readers", type=PATH, help="Readers' calls on the same images: image, reader, label.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there instead of printing."
)
@given
def agreement(invocation: Invocation, data: Path | None, readers: Path | None, out: Path | None) -> None:
    """Recompute from the published lists what Tang et al. report of their labels and readers."""
    from triage.validation.report.published_labels_page import published_labels_page

    folder = data or invocation.data
    if folder is None:
        raise CannotStart("give --data, or set TRIAGE_DATA to the folder that holds nih-tang-splits")
    with start_errors():
        write_or_print(published_labels_page(folder, readers), out)
