"""The canary's partition: a spool of its own in the spool's folder ``canary``, outside all lists and counts.

It holds three things more than a spool:

    registered/<key>    the canaries of the last day, each written before it is sent
    last.json           time of the last success, and its duration
    scores.json         the first score that each model gave the phantom, by digest of the model

Only a registered content enters this partition, and the key contains the SHA-256 of the content. So nothing but our
own phantom is taken for a canary, whatever AE title and UIDs a peer uses. Everything else is a patient's object.
"""

from __future__ import annotations

import json
from pathlib import Path

from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

CANARY = "canary"
"""Name of the partition, in the spool and in the queue."""
_REGISTERED_S = 24 * 3600.0  # a canary that was given up may still arrive, and must not be taken for a patient's then
_OLD_PART_S = 3600.0


def open_partition(spool: Spool) -> Spool:
    """Open the canary's partition of ``spool``, and create it if it is missing. Raises OSError and SpoolError."""
    partition = Spool.open(spool.root / CANARY)
    partition.make_folder(partition.root / "registered")
    return partition


def register(partition: Spool, instance: ReceivedInstance) -> None:
    """Record that this content is about to be sent; durable."""
    partition.write(_registration(partition, instance), "")


def is_registered(partition: Spool, instance: ReceivedInstance) -> bool:
    """Return whether an object has the content of a registered canary."""
    return _registration(partition, instance).exists()


def record_success(partition: Spool, at: float, took_s: float) -> None:
    """Record the last success (POSIX seconds) and its duration, so that they survive a restart."""
    partition.write(partition.root / "last.json", json.dumps({"at": at, "took_s": took_s}))


def last_success(partition: Spool) -> float:
    """Return the time of the last success in POSIX seconds, 0 if there was none."""
    try:
        return float(json.loads((partition.root / "last.json").read_bytes())["at"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0.0


def first_score(partition: Spool, model_digest: str, probability: float) -> float:
    """Return the first score that the model gave the phantom; if there is none yet, record ``probability`` as it."""
    path = partition.root / "scores.json"
    try:
        scores = dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        scores = {}
    if model_digest not in scores:
        partition.write(path, json.dumps({**scores, model_digest: probability}))
    return float(scores.get(model_digest, probability))


def remove_canaries(partition: Spool, now: float) -> list[ReceivedInstance]:
    """Remove every canary, in whatever state. Return those that may still have a job in the queue.

    The caller holds the partition's lock (see ``run_canary``). A process that works on a canary at this moment finds
    it gone, or leaves files that the next call removes.
    """
    root = partition.root
    # First the files that would start new work.
    _remove(*root.glob("marks/*/*"), *root.glob("outbox/*/*"), *root.glob("undeliverable/*/*"))
    unfinished = [*partition.waiting(), *(instance for instance, _ in partition.dead_letters())]
    _remove(*root.glob("inbox/*"), *root.glob("dead/*"), *root.glob("control/destinations/*"))
    for uid in list(partition.study_uids()):
        with partition.study_lock(uid):
            partition.remove_study(uid)
    partition.remove_old_parts(now - _OLD_PART_S)
    _remove(*(path for path in root.glob("registered/*") if path.stat().st_mtime < now - _REGISTERED_S))
    return unfinished


def _registration(partition: Spool, instance: ReceivedInstance) -> Path:
    return partition.root / "registered" / instance.key


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
