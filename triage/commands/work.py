"""``triage work``: a process that scores, ``triage.service.work``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, index_option, open_when_there, redis_url, start_errors

SECTION = CommandSection.PROCESSES


@click.command()
@index_option
@given
def work(invocation: Invocation, index: int) -> None:
    """Score what was received, and tag its studies."""
    settings = invocation.settings("work")
    from triage.service.work import work as run

    with start_errors():
        run(settings, open_when_there(settings, "work", settings.worker, index), redis_url(settings), index)
