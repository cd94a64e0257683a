"""Dead letters, printed with the line that tries each again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from triage.operations.dead_letters import DeadDelivery, Requeued
from triage.operations.visible import visible
from triage.spool.store import Store


def show_dead_letters(spool: Store, deliveries: Sequence[DeadDelivery] = ()) -> None:
    """Print what was given up: when, after how many tries, why, and the whole line that tries it again.

    ``deliveries`` are those of the ways out, with the accession number and the tag of their study: the reader this
    may have to call a ward.
    """
    count = 0
    for instance, note in spool.dead_letters():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.get("buried_at", 0)))
        _show(when, note.get("tries", "?"), str(note.get("error", "not noted")), instance.key)
        count += 1
    for each in deliveries:
        _show(each.when, each.tries, each.why, each.key, (each.tag or "no tag", each.accession_number or "none"))
        count += 1
    if not count:
        sys.stdout.write("no dead letters\n")


def _show(when: str, tries: object, why: str, key: str, study: tuple[str, str] | None = None) -> None:
    sys.stdout.write(f"{when}  after {tries} tries: {visible(why)}\n")
    if study:
        sys.stdout.write(f"  {study[0]}, accession number {visible(study[1])}\n")
    # A line of its own, never folded: keys are copied.
    sys.stdout.write(f"  triage dead-letters --requeue {key}\n")


def show_requeued_objects(done: Requeued) -> None:
    """Print how many objects are queued again."""
    state = "queued again"
    if done.queue_error:
        state = f"back in the inbox; Redis does not answer ({done.queue_error}), the next sweep queues them"
    sys.stdout.write(f"{done.objects} {state}\n")


def show_requeued_deliveries(done: Requeued) -> None:
    """Print how many deliveries are tried again, and why others are not."""
    sys.stdout.writelines(f"{each}\n" for each in done.superseded)
    sys.stdout.write(f"{done.deliveries} deliveries are tried again\n")
