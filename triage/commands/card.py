"""``triage card``: a model's card as a page."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import PATH, start_errors, write_or_print

SECTION = CommandSection.RESEARCH


@click.command()
@click.argument("folder", type=PATH)
@click.option("--metrics", multiple=True, type=PATH, help="A metrics.json of this model.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there instead of printing."
)
def card(folder: Path, metrics: tuple[Path, ...], out: Path | None) -> None:
    """Write the card of the model in FOLDER as a page, after CLAIM 2024 and TRIPOD+AI."""
    from triage.model.card import load_card
    from triage.validation.report.card_page import card_page, read_metrics

    with start_errors():
        write_or_print(card_page(load_card(folder.resolve()), [read_metrics(file) for file in metrics]), out)
