"""``triage worklist``: the list in reading order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from triage.commands.base import Invocation, given, redis_errors, redis_url

if TYPE_CHECKING:
    from triage.commands.output.worklist import Form


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many studies, from the top.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="A table for a spreadsheet, with a header.")
@given
def worklist(invocation: Invocation, limit: int, form: Form | None) -> None:
    """Print the worklist in reading order.

    --limit prints that many studies from the top, --json one JSON object a line, --csv a row for each study.
    """
    settings = invocation.settings()
    from triage.commands.output.worklist import print_worklist
    from triage.queue.connection import connect
    from triage.service.store import store_address
    from triage.spool.open_store import store_at
    from triage.spool.silence import silence_text
    from triage.worklist.opening import worklist_of

    spool = store_at(store_address(settings))
    with redis_errors(), connect(redis_url(settings), settings.redis.timeout_s) as client:
        print_worklist(worklist_of(spool, client), settings.worklist.waiting_cap_s, limit, form or "table")
    if said := silence_text(spool):
        click.echo(said, err=True)  # the list is shorter than what came, and not for want of studies
