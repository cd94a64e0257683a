"""``triage listen``: the process that receives, ``triage.service.listen``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, index_option, open_when_there, redis_url, start_errors

SECTION = CommandSection.PROCESSES


@click.command()
@index_option
@click.option("--of", default=0, hidden=True, help="How many processes of its kind share the port.")
@given
def listen(invocation: Invocation, index: int, of: int) -> None:
    """Receive radiographs over DICOM (C-ECHO, C-STORE)."""
    settings = invocation.settings("listen")
    from triage.service.listen import listen as run

    with start_errors():
        run(settings, open_when_there(settings, "listen", settings.listener, index), redis_url(settings), index, of)
