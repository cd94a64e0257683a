"""``triage web``: the process that serves the worklist, ``triage.service.web``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, index_option, open_when_there, redis_url, start_errors

SECTION = CommandSection.PROCESSES


@click.command()
@index_option
@given
def web(invocation: Invocation, index: int) -> None:
    """Serve the worklist over HTTP."""
    settings = invocation.settings("web")
    from triage.service.web import web as run

    with start_errors():
        run(settings, open_when_there(settings, "web", settings.web), redis_url(settings))
