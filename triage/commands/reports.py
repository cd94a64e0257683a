"""``triage reports``: the process that hears of reports, ``triage.service.reports``."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given, index_option, open_when_there, redis_url, start_errors

SECTION = CommandSection.PROCESSES


@click.command()
@index_option
@given
def reports(invocation: Invocation, index: int) -> None:
    """Receive which studies were reported (HL7 over MLLP, UPS), so that they leave the list.

    `triage up` starts it where reports.port or a UPS destination's look_s is set.
    """
    settings = invocation.settings("reports")
    from triage.service.reports import reports as run

    with start_errors():
        run(settings, open_when_there(settings, "reports", settings.reports), redis_url(settings))
