"""``triage reports``: the process that hears of reports, ``triage.service.reports``."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, index_option, open_spool, redis_url, start_errors


@click.command()
@index_option
@given
def reports(invocation: Invocation, index: int) -> None:
    """Hear which studies were reported, so that they leave the list (HL7 over MLLP, UPS)."""
    settings = invocation.settings("reports")
    from triage.service.reports import reports as run

    with start_errors():
        run(settings, open_spool(settings), redis_url(settings))
