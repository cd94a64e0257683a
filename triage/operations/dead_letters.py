"""Requeue or drop dead letters, of scoring and of delivery."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState, study_of_key
from triage.dicom.uid import InvalidUIDError
from triage.queue.score_queue import ScoreQueue, connect
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool


def requeue(spool: Spool, redis_url: str, timeout_s: float, keys: Sequence[str] | None) -> None:
    """Take dead letters (all for None) back into the inbox and queue them.

    Raises FileNotFoundError for a key of no dead letter and ValueError for what is no key.
    """
    if keys is None:
        chosen = [instance for instance, _ in spool.dead_letters()]
    else:
        chosen = [ReceivedInstance.from_key(key) for key in keys]
    for instance in chosen:
        spool.requeue(instance)
    try:
        with connect(redis_url, timeout_s) as client:
            jobs = ScoreQueue(client)
            for instance in chosen:
                jobs.again(instance)
        told = "queued again"
    except RedisError as error:
        told = f"back in the inbox; Redis does not answer ({type(error).__name__}), the next sweep queues them"
    sys.stdout.write(f"{len(chosen)} {told}\n")


def drop(outbox: Outbox, name: str, now: float) -> int:
    """Forget everything that waits or is dead for a destination. Returns how much that was."""
    items = outbox.waiting(name)
    for item in items:
        outbox.remove(item, DeliveryState.DROPPED, "dropped by hand", now)
    keys = [key for key, *_ in outbox.dead_letters(name)]
    for key in keys:
        outbox.drop(key, now)
    marked = [uid for _, uid in outbox.marked(name)]
    for uid in marked:
        outbox.unmark(uid, name)
    return len(items) + len(keys) + len(marked)


@dataclass(frozen=True)
class DeadDelivery:
    """What a destination did not take: when it was given up, after how many tries, why, and of which study."""

    when: str
    tries: int
    why: str
    key: str
    accession_number: str
    tag: str


def dead_letter_rows(outbox: Outbox, spool: Spool) -> list[DeadDelivery]:
    """Everything that no destination took. ``why`` has what came back from it."""
    rows = []
    for name in sorted(outbox.known()):
        for key, at, tries, why in outbox.dead_letters(name):
            decision = _decision(spool, study_of_key(key))
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
            number, tag = (str(decision.get(field) or "") for field in ("accession_number", "tag"))
            rows.append(DeadDelivery(when, tries, why, key, number, tag))
    return rows


def _decision(spool: Spool, study_instance_uid: str) -> dict[str, Any]:
    try:
        return spool.decision(study_instance_uid) or {}
    except (InvalidUIDError, ValueError):  # a file that is not ours, or half of a decision: shown without
        return {}


def requeue_deliveries(outbox: Outbox, keys: Sequence[str] | None, now: float) -> int:
    """Try dead letters (all for None) again, those of which a newer result was delivered left out.

    Raises FileNotFoundError for a key of none, and ValueError for one that a newer result took the place of.
    """
    if keys is not None:
        for key in keys:
            outbox.requeue(key, now)
        return len(keys)
    count = 0
    every = [key for name in sorted(outbox.known()) for key, *_ in outbox.dead_letters(name)]
    for key in every:
        try:
            outbox.requeue(key, now)
        except ValueError as error:
            sys.stdout.write(f"{error}\n")
        else:
            count += 1
    return count
