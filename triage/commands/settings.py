"""``triage settings``: what is in force, and what there is."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given
from triage.settings.reference import dump, reference


@click.command()
@click.option("--reference", "print_reference", is_flag=True, help="Print every setting as a table, and end.")
@given
def settings(invocation: Invocation, print_reference: bool) -> None:
    """Print the settings in force, secrets masked, and the files that they come from."""
    if print_reference:
        click.echo(reference(), nl=False)
    else:
        loaded = invocation.load()
        click.echo(f"# settings from {loaded.source}; data folder {loaded.data}")
        for note in loaded.notes:
            click.echo(f"# {note}")
        from triage.service.running import running

        click.echo(f"\n{dump(loaded.settings)}\n# {running(loaded.settings)}")
