"""Where `triage validate --dicom` has its images scored: a spool that no list, queue, count or channel reads.

It lies in the folder ``validation`` of the spool. The listener puts there what the validation AE title sends; a thread
of the worker scores it with the worker's own sessions and policy; the command reads the results and removes them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from prometheus_client import CollectorRegistry

from triage import metrics as metric_names
from triage.assess import Policy
from triage.decision import PriorityPolicy, TriageDecision
from triage.decoding import DecodePool
from triage.model.session import Session
from triage.scoring import Scorer
from triage.spool import Spool

logger = logging.getLogger(__name__)

FOLDER = "validation"
_PAUSE_S = 0.5
_FORGET_AFTER_S = 24 * 3600.0
_LOCK = "validation-scorer"


def open_namespace(spool: Spool) -> Spool:
    """The namespace beside the patients of ``spool``. Raises SpoolError."""
    return Spool.open(spool.root / FOLDER)


def forget(namespace: Spool, before: float) -> None:
    """Remove every study that was last touched before ``before`` (POSIX seconds) and of which nothing waits."""
    waiting = {instance.study_instance_uid for instance in namespace.waiting()}
    for uid in list(namespace.study_uids()):
        if uid not in waiting and namespace.touched(uid) < before:
            namespace.remove_study(uid)
    for instance, _ in list(namespace.dead_letters()):
        for path in namespace.dead.glob(f"{instance.key}.*"):
            if path.stat().st_mtime < before:
                path.unlink()
    namespace.remove_old_parts(before)


@contextmanager
def scored_aside(
    namespace: Spool,
    sessions: dict[str, Session],
    make_pool: Callable[[], DecodePool],
    policy: Policy,
    batch_size: int,
) -> Iterator[None]:
    """While this is open a thread scores what lies in the namespace. Of several workers one does it."""
    ended = threading.Event()
    pool = make_pool()  # its children are made when the first image comes
    uncounted = metric_names.create(CollectorRegistry())
    scorer = Scorer(namespace, sessions, pool, policy, PriorityPolicy(), uncounted, _listed_nowhere)
    thread = threading.Thread(
        target=_serve, args=(namespace, scorer, batch_size, ended), name="validation", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30.0)
        pool.close()


def _listed_nowhere(decisions: Sequence[TriageDecision]) -> None:
    """The index of a namespace that has none."""


def _serve(namespace: Spool, scorer: Scorer, batch_size: int, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            with namespace.worker_lock(_LOCK):
                while not ended.wait(_PAUSE_S):
                    score_waiting(namespace, scorer, batch_size)
                    forget(namespace, time.time() - _FORGET_AFTER_S)
        except BlockingIOError:  # another worker does it
            ended.wait(10 * _PAUSE_S)
        except Exception:  # the edge: validation must never end a worker
            logger.exception("scoring for validation failed")
            ended.wait(10 * _PAUSE_S)


def score_waiting(namespace: Spool, scorer: Scorer, batch_size: int) -> None:
    """Score what waits, a batch after the other. What cannot be scored is a dead letter at once."""
    while batch := list(islice(namespace.waiting(), batch_size)):
        for failed in scorer.finish(scorer.start(batch)):
            scorer.give_up(failed.instance, failed.error, tries=1)
