"""``triage up``: every process of the service on this machine, ``triage.service.supervisor``."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, open_spool, start_errors
from triage.settings.reference import dump, reference


@click.command()
@click.option("--print-config", is_flag=True, help="Print the settings in force, secrets masked, and end.")
@click.option("--reference", "print_reference", is_flag=True, help="Print every setting as a table, and end.")
@given
def up(invocation: Invocation, print_config: bool, print_reference: bool) -> None:
    """Run everything on this machine until Ctrl-C."""
    settings = invocation.settings()
    if print_config or print_reference:
        from triage.service.running import running

        click.echo(f"{dump(settings)}\n# {running(settings)}\n" if print_config else reference(), nl=False)
        return
    from triage.service.supervisor import serve

    open_spool(settings)
    with start_errors():
        serve(settings, invocation.config, invocation.environment)
