"""``triage dead-letters``: what was given up, and another try."""

from __future__ import annotations

import time
from functools import partial

import click

from triage.commands.base import Invocation, audit, given, open_spool, redis_url


@click.command("dead-letters")
@click.option("--requeue", "keys", multiple=True, metavar="KEY", help="Try this one again.")
@click.option("--requeue-all", is_flag=True, help="Try all of them again.")
@given
def dead_letters(invocation: Invocation, keys: tuple[str, ...], requeue_all: bool) -> None:
    """List what was given up after the last try, objects and deliveries, and requeue it."""
    settings = invocation.settings()
    from triage.commands.output.dead_letters import (
        show_dead_letters,
        show_requeued_deliveries,
        show_requeued_objects,
    )
    from triage.delivery.outbox import Outbox
    from triage.operations.dead_letters import dead_letter_rows, key_from, requeue, study_named_in
    from triage.queue.score_queue import connect
    from triage.security.audit_message import AuditOutcome
    from triage.security.audit_trail import intend_requeue, note_requeue
    from triage.spool.instance import ReceivedInstance

    spool = open_spool(settings)
    outbox = Outbox(spool)
    rows = dead_letter_rows(outbox, spool)
    if not (keys or requeue_all):
        show_dead_letters(spool, rows)
        return
    every = [*(instance.key for instance, _ in spool.dead_letters()), *(row.key for row in rows)]
    studies = [study_named_in(key) for key in (every if requeue_all else keys)]
    audit(settings, "triage dead-letters", lambda trail: intend_requeue(trail, spool, studies))
    try:
        chosen = [key_from(key) for key in (every if requeue_all else keys)]
        objects = [key for key in chosen if isinstance(key, ReceivedInstance)]
        deliveries = [key for key in chosen if not isinstance(key, ReceivedInstance)]
        with connect(redis_url(settings), settings.redis.timeout_s) as client:
            again = partial(requeue, spool, client, now=time.time(), skip_superseded=requeue_all)
            if objects or requeue_all:
                show_requeued_objects(again(objects))
            if deliveries or requeue_all:
                show_requeued_deliveries(again(deliveries))
    except (FileNotFoundError, ValueError) as error:
        failed = AuditOutcome.MINOR_FAILURE  # some may have been requeued
        audit(settings, "triage dead-letters", lambda trail: note_requeue(trail, spool, studies, failed), done=True)
        raise click.ClickException(f"no such dead letter: {error}") from error
    audit(settings, "triage dead-letters", lambda trail: note_requeue(trail, spool, studies), done=True)
