"""``triage up``: every process of the service on this machine, ``triage.service.up``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, open_spool, run_role, start_errors
from triage.commands.settings import settings as show_settings

SECTION = CommandSection.PROCESSES


@click.command()
@click.option("--print-config", is_flag=True, help="Print the settings in force, secrets masked, and end.")
@click.option("--reference", "print_reference", is_flag=True, help="Print every setting as a table, and end.")
@given
@click.pass_context
def up(context: click.Context, invocation: Invocation, print_config: bool, print_reference: bool) -> None:
    """Run everything on this machine until Ctrl-C."""
    if print_config or print_reference:
        context.invoke(show_settings, print_reference=print_reference)
        return
    settings = invocation.settings("up")
    from triage.service.up import up as run

    open_spool(settings)
    with start_errors():
        run(settings, invocation.environment, run_role(context, invocation))
