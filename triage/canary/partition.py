"""Where a canary lies on its way: a spool of its own beside the patients', which no list and no count of theirs sees.

It is the folder ``canary`` of the spool, with three things more:

    registered/<key>    the canaries of the last day, each written before it was sent
    last.json           when one came out last, and how long it took
    scores.json         the score that each model gave the phantom first, by the digest of the model

Only a registered content is put here, and the key has the SHA-256 of the content: whatever a peer calls itself, and
whatever UIDs it uses, nothing but our own phantom can go this way. All else is a patient's.
"""

from __future__ import annotations

import json
from pathlib import Path

from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

CANARY = "canary"
"""Its folder in the spool, and its name in the queue."""
_REMEMBERED_S = 24 * 3600.0  # a canary that was given up may still arrive, and must not be taken for a patient then
_OLD_PART_S = 3600.0


def open_partition(spool: Spool) -> Spool:
    """The partition beside the patients of ``spool``, made if it is not there. Raises OSError and SpoolError."""
    partition = Spool.open(spool.root / CANARY)
    partition.make_folder(partition.root / "registered")
    return partition


def register(partition: Spool, instance: ReceivedInstance) -> None:
    """Say that this content is about to be sent; durable."""
    partition.write(_registered(partition, instance), "")


def expects(partition: Spool, instance: ReceivedInstance) -> bool:
    """Whether an object is a canary: one of ours, by its content."""
    return _registered(partition, instance).exists()


def came_out(partition: Spool, at: float, took_s: float) -> None:
    """Remember when a canary came out last (POSIX seconds), across restarts."""
    partition.write(partition.root / "last.json", json.dumps({"at": at, "took_s": took_s}))


def last_came_out(partition: Spool) -> float:
    """When a canary came out last, in POSIX seconds; 0 if none ever did."""
    try:
        return float(json.loads((partition.root / "last.json").read_bytes())["at"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0.0


def first_score(partition: Spool, model_digest: str, probability: float) -> float:
    """What the model gave the phantom when it scored it first, which is now if it never did; remembered for good."""
    path = partition.root / "scores.json"
    try:
        scores = dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        scores = {}
    if model_digest not in scores:
        partition.write(path, json.dumps({**scores, model_digest: probability}))
    return float(scores.get(model_digest, probability))


def clean(partition: Spool, now: float) -> list[ReceivedInstance]:
    """Remove every canary, wherever it is. Returns those of which a job may still be queued.

    Have the partition alone, see ``flight``. Who works on one just then finds it gone, or leaves something that the
    next cleaning removes.
    """
    root = partition.root
    # What begins new work goes first.
    _remove(*root.glob("marks/*/*"), *root.glob("outbox/*/*"), *root.glob("undeliverable/*/*"))
    unfinished = [*partition.waiting(), *(instance for instance, _ in partition.dead_letters())]
    _remove(*root.glob("inbox/*"), *root.glob("dead/*"), *root.glob("control/destinations/*"))
    for uid in list(partition.study_uids()):
        with partition.study_lock(uid):
            partition.remove_study(uid)
    partition.remove_old_parts(now - _OLD_PART_S)
    _remove(*(path for path in root.glob("registered/*") if path.stat().st_mtime < now - _REMEMBERED_S))
    return unfinished


def _registered(partition: Spool, instance: ReceivedInstance) -> Path:
    return partition.root / "registered" / instance.key


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
