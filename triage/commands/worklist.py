"""``triage worklist``: the list in reading order."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, redis_errors, redis_url


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many studies, from the top.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@given
def worklist(invocation: Invocation, limit: int, as_json: bool) -> None:
    """Print the worklist in reading order.

    --limit prints that many studies from the top, --json one JSON object a line.
    """
    settings = invocation.settings()
    from triage.commands.output.worklist import print_worklist
    from triage.spool.silence import silence_text
    from triage.spool.spool import Spool

    if said := silence_text(Spool(settings.spool.path)):
        click.echo(said, err=True)  # the list is shorter than what came, and not for want of studies
    with redis_errors():
        print_worklist(redis_url(settings), settings.redis.timeout_s, settings.worklist.waiting_cap_s, limit, as_json)
