"""``triage shadow``: models in shadow compared with those in service."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands.base import Invocation, given, open_spool


@click.command()
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="Write a row for each image.")
@given
def shadow(invocation: Invocation, csv: Path | None) -> None:
    """Compare the models in shadow with those in service, on the images that both scored."""
    settings = invocation.settings()
    from triage.commands.output.models import show_shadow
    from triage.operations.shadow import compare, pairs, write

    found = pairs(open_spool(settings))
    try:
        show_shadow(compare(found if csv is None else write(found, csv)))
    except OSError as error:
        raise click.ClickException(str(error)) from error
