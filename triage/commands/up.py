"""``triage up``: every process of the service on this machine, ``triage.service.up``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from triage.commands import CommandSection
from triage.commands.base import CannotStart, Invocation, given, open_spool, run_role, start_errors
from triage.commands.settings import settings as show_settings
from triage.spool.errors import engine_away

if TYPE_CHECKING:
    from triage.settings.schema import Settings

logger = logging.getLogger(__name__)

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

    _begin_store(settings)
    with start_errors():
        run(settings, invocation.environment, run_role(context, invocation))


def _begin_store(settings: Settings) -> None:
    """Make the store if it is not there. Each process waits by itself for a database that is away."""
    try:
        open_spool(settings)
    except CannotStart as error:
        if engine_away(error) is None:
            raise
        logger.error("up: %s. Each process starts, and waits for it", error.message)
