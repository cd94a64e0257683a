"""Requeue or drop dead letters, of scoring and of delivery."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryKey
from triage.delivery.undeliverable import SupersededError
from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.queue.requeue import requeue as queue_again
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store

DeadLetterKey = ReceivedInstance | DeliveryKey
"""The key of a dead letter, of scoring or of delivery."""


def key_from(text: str) -> DeadLetterKey:
    """Return the key that a person or a program gave. Raises ValueError for a malformed one."""
    return DeliveryKey.from_text(text) if "/" in text else ReceivedInstance.from_key(text)  # that one has no slash


def study_named_in(text: str) -> str:
    """Return the study of a key for the audit trail; for a malformed key, its first part as it was given."""
    try:
        return key_from(text).study_instance_uid
    except ValueError:
        return text.partition("+")[0]


@dataclass(frozen=True)
class Requeued:
    """The result of ``requeue``.

    ``objects`` are in the inbox, and queued unless ``queue_error`` has the error of Redis; ``deliveries`` are due now.
    ``superseded``: for each delivery that was left out, that a newer result took its place.
    """

    objects: int = 0
    deliveries: int = 0
    queue_error: str = ""
    superseded: tuple[str, ...] = ()


def requeue(
    spool: Store, client: Redis, keys: Sequence[DeadLetterKey], now: float, *, skip_superseded: bool = False
) -> Requeued:
    """Try dead letters again. The only way to do so, for commands and for the web.

    Args:
        spool: the spool.
        client: a client of Redis; an object that cannot be queued is left to the sweep.
        keys: what to try again.
        now: POSIX seconds.
        skip_superseded: leave out deliveries of which a newer result was delivered, instead of raising.

    Raises:
        FileNotFoundError: a key names no dead letter.
        SupersededError: a newer result took the place of a delivery.
        OSError: the spool cannot be written.
    """
    outbox, superseded, deliveries = Outbox(spool), list[str](), 0
    objects = [key for key in keys if isinstance(key, ReceivedInstance)]
    error = queue_again(spool, client, objects) if objects else None
    for key in keys:
        if isinstance(key, DeliveryKey):
            try:
                outbox.dead.requeue(key, now)
                deliveries += 1
            except SupersededError as refusal:
                if not skip_superseded:
                    raise
                superseded.append(str(refusal))
    return Requeued(len(objects), deliveries, cause(error) if error else "", tuple(superseded))


def drop(outbox: Outbox, name: str, now: float) -> int:
    """Drop all waiting and dead messages and marks of a destination, and return their number."""
    dropped = sum(outbox.drop_waiting(item, now) for item in outbox.waiting(name))
    keys = [key for key, *_ in outbox.dead.letters(name)]
    for key in keys:
        outbox.dead.drop(key, now)
    marked = [uid for _, uid in outbox.marked(name)]
    for uid in marked:
        outbox.unmark(uid, name)
    outbox.forget_unread(name)
    return dropped + len(keys) + len(marked)


@dataclass(frozen=True)
class DeadDelivery:
    """One delivery that was given up: when, after how many tries, why, and of which study."""

    when: str
    tries: int
    why: str
    key: str
    accession_number: str
    tag: str


def dead_letter_rows(outbox: Outbox, spool: Store) -> list[DeadDelivery]:
    """Return every delivery that was given up; ``why`` has the destination's answer."""
    rows = []
    for name in sorted(outbox.known()):
        for key, at, tries, why in outbox.dead.letters(name):
            decision = _decision(spool, key.study_instance_uid)
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
            number, tag = (str(decision.get(field) or "") for field in ("accession_number", "tag"))
            rows.append(DeadDelivery(when, tries, why, str(key), number, tag))
    return rows


def _decision(spool: Store, study_instance_uid: str) -> Mapping[str, object]:
    try:
        return spool.decision(study_instance_uid) or {}
    except (InvalidUIDError, ValueError):  # a file that is not ours, or half of a decision: shown without
        return {}
