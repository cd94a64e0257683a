"""The worker's thread that scores the images of `triage validate --dicom`, with the worker's sessions and policy."""

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
from triage.validation.namespace import forget

logger = logging.getLogger(__name__)

_PAUSE_S = 0.5
_FORGET_AFTER_S = 24 * 3600.0
_LOCK = "validation-scorer"


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
