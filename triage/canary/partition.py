"""The canary's partition: a store of its own in the store, outside all lists and counts.

It holds three entries more:

    registered/<key>    the canaries of the last day, each written before it is sent
    last.json           time of the last success, and its duration
    scores.json         the first score that each model gave the phantom, by digest of the model

Only a registered content enters this partition, and the key contains the SHA-256 of the content. So nothing but our
own phantom is taken for a canary, whatever AE title and UIDs a peer uses. Everything else is a patient's object.
"""

from __future__ import annotations

import json

from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store

CANARY = "canary"
"""Name of the partition, in the spool and in the queue."""
_REGISTERED = "registered"
_REGISTERED_S = 24 * 3600.0  # a canary that was given up may still arrive, and must not be taken for a patient's then
_OLD_PART_S = 3600.0


def open_partition(spool: Store) -> Store:
    """Open the canary's partition of ``spool``, and create it if it is missing. Raises OSError and SpoolError."""
    partition = spool.open_partition(CANARY)
    partition.entries(_REGISTERED).prepare()
    return partition


def register(partition: Store, instance: ReceivedInstance) -> None:
    """Record that this content is about to be sent; durable."""
    partition.entries(_REGISTERED).put(instance.key, "")


def is_registered(partition: Store, instance: ReceivedInstance) -> bool:
    """Return whether an object has the content of a registered canary."""
    return partition.entries(_REGISTERED).has(instance.key)


def record_success(partition: Store, at: float, took_s: float) -> None:
    """Record the last success (POSIX seconds) and its duration, so that they survive a restart."""
    partition.entries().put("last.json", json.dumps({"at": at, "took_s": took_s}))


def last_success(partition: Store) -> float:
    """Return the time of the last success in POSIX seconds, 0 if there was none."""
    try:
        return float(json.loads(partition.entries().get("last.json"))["at"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0.0


def first_score(partition: Store, model_digest: str, probability: float) -> float:
    """Return the first score that the model gave the phantom; if there is none yet, record ``probability`` as it."""
    try:
        scores = dict(json.loads(partition.entries().get("scores.json")))
    except (FileNotFoundError, ValueError):
        scores = {}
    if model_digest not in scores:
        partition.entries().put("scores.json", json.dumps({**scores, model_digest: probability}))
    return float(scores.get(model_digest, probability))


def remove_canaries(partition: Store, now: float) -> list[ReceivedInstance]:
    """Remove every canary, in whatever state. Return those that may still have a job in the queue.

    The caller holds the partition's lock (see ``run_canary``). A process that works on a canary at this moment finds
    it gone, or leaves files that the next call removes.
    """
    # First the entries that would start new work.
    for top in ("marks", "outbox", "undeliverable"):
        for name in partition.places(top):
            partition.entries(top, name).clear()
    unfinished = [*partition.waiting(), *(instance for instance, _ in partition.dead_letters())]
    partition.drop_unfinished()
    partition.entries("control", "destinations").clear()
    for uid in list(partition.study_uids()):
        with partition.study_lock(uid):
            partition.remove_study(uid)
    partition.remove_old_parts(now - _OLD_PART_S)
    partition.entries(_REGISTERED).clear(now - _REGISTERED_S)
    return unfinished
