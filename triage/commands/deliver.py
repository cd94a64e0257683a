"""``triage deliver``: the process that hands results over, ``triage.service.deliver``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, index_option, open_when_there, start_errors

SECTION = CommandSection.PROCESSES


@click.command()
@index_option
@given
def deliver(invocation: Invocation, index: int) -> None:
    """Deliver results to the destinations of the settings.

    `triage up` starts it where a destination is configured.
    """
    settings = invocation.settings("deliver")
    from triage.service.deliver import deliver as run

    with start_errors():
        run(settings, open_when_there(settings, "deliver", settings.deliver))
