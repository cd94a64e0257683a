"""``triage sweep``: the process that reconciles, ``triage.service.sweep``, or one sweep."""

from __future__ import annotations

import click

from triage.commands import CommandSection
from triage.commands.base import (
    Invocation,
    given,
    index_option,
    open_spool,
    open_when_there,
    redis_errors,
    redis_url,
    start_errors,
)

SECTION = CommandSection.PROCESSES


@click.command()
@click.option("--once", is_flag=True, help="Sweep once and end.")
@index_option
@given
def sweep(invocation: Invocation, once: bool, index: int) -> None:
    """Reconcile the spool with the queue, retry, and remove what is past its retention."""
    settings = invocation.settings("" if once else "sweep")
    from triage.service.sweep import sweep as run
    from triage.service.sweep import sweep_once

    with start_errors(), redis_errors():
        if not once:
            run(settings, open_when_there(settings, "sweep", settings.sweep), redis_url(settings))
            return
        swept = sweep_once(settings, open_spool(settings), redis_url(settings))
        built = f"the index {'rebuilt' if swept.rebuilt else 'whole'}"
        if settings.store.kind != "files":
            built = "the worklist is in PostgreSQL: no index to check or rebuild"
        click.echo(f"{swept.requeued} objects queued again, {swept.removed} studies removed, {built}")
