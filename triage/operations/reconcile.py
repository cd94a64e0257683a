"""The sweep: what should be in work is queued, what was lost is rebuilt, what is past its retention goes.

Files are the truth and the queue is a hint, so the sweep can run at any time, anywhere, several at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from triage.decision.records import decision_from
from triage.decision.types import TriageDecision
from triage.delivery.outbox import Outbox
from triage.metrics.process import Metrics
from triage.queue.score_queue import Queued, ScoreQueue, Work, job_id
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import Worklist
from triage.worklist.reader_acts import NotTaggedError, expire, restore

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_EXPIRED_AT_ONCE = 200
_DAY_S = 24 * 3600.0
_OLD_PART_S = 3600.0  # no association lives that long without a word
_OLD_LOCK_S = 7 * _DAY_S


@dataclass(frozen=True)
class Swept:
    """What a sweep found to do."""

    requeued: int
    rebuilt: bool
    removed: int
    expired: int = 0


def sweep(
    spool: Spool,
    jobs: ScoreQueue,
    index: Worklist,
    metrics: Metrics,
    *,
    retention_days: float,
    now: float,
    beside: Mapping[str, Spool] | None = None,
    expire_after_days: float = 0.0,
    prior: Callable[[ReceivedInstance], bool] = lambda instance: False,
) -> Swept:
    """Reconcile once. Raises RedisError if Redis does not answer; nothing is half-done then.

    What waits in spools ``beside`` the patients' is queued too, by their names, and counted nowhere. ``prior`` says of
    an object whose job was lost whether it may wait.
    """
    started = time.perf_counter()
    rebuilt = rebuild(spool, index, metrics)
    jobs.tidy()
    lost = list(_lost(spool, jobs, "", spool, prior))
    for why in lost:
        metrics.sweep_requeued.labels(why).inc()
    requeued = len(lost)
    for place, other in (beside or {}).items():
        _requeue_beside(place, other, jobs, spool)
    jobs.wake()
    removed = remove_old(spool, index, retention_days, now) if retention_days else 0
    expired = expire_old(spool, index, expire_after_days, now) if expire_after_days else 0
    spool.remove_old_parts(now - _OLD_PART_S)
    spool.workers.remove_old(now - _OLD_LOCK_S)
    metrics.studies_removed.inc(removed)
    metrics.studies_expired.inc(expired)
    metrics.sweep_duration.observe(time.perf_counter() - started)
    if requeued or rebuilt or removed:
        logger.info("sweep: %d objects queued again, %d studies removed, index rebuilt: %s", requeued, removed, rebuilt)
    if expired:
        logger.info("sweep: %d studies left the list by age", expired)
    return Swept(requeued, rebuilt, removed, expired)


def _requeue_beside(place: str, other: Spool, jobs: ScoreQueue, workers: Spool) -> None:
    """What waits in a place beside the patients' is queued again; trouble there keeps nothing else from it."""
    try:
        for _ in _lost(other, jobs, place, workers):
            logger.info("sweep: an object in %s is queued again", place)
    except OSError as error:
        logger.error("sweep: %s cannot be looked through: %s", place, error.strerror or type(error).__name__)


def _lost(
    spool: Spool,
    jobs: ScoreQueue,
    place: str,
    workers: Spool,
    prior: Callable[[ReceivedInstance], bool] = lambda instance: False,
) -> Iterator[str]:
    """Queue what lies in the inbox and has no job, or one whose worker is dead; say why of each.

    The locks of workers are in the spool ``workers``.
    """
    waiting = [Work(place, instance) for instance in spool.waiting()]
    if not waiting:
        return
    really_queued = jobs.waiting_ids()
    alive: dict[str, bool] = {}
    for start in range(0, len(waiting), _AT_ONCE):
        some = waiting[start : start + _AT_ONCE]
        for work, (status, worker) in zip(some, jobs.states(some), strict=True):
            why = _why_lost(work, status, worker, really_queued, lambda name: _alive(workers, alive, name))
            if why and spool.waits(work.instance):
                if why == "dead_worker" and workers.workers.has_died(worker):
                    jobs.count_death(work)
                jobs.again(work, prior(work.instance))
                yield why


def _why_lost(work: Queued, status: str, worker: str, really_queued: set[str], alive: Callable[[str], bool]) -> str:
    if status == "started" and worker:
        return "" if alive(worker) else "dead_worker"
    return "" if status == "queued" and job_id(work) in really_queued else "lost_job"


def _alive(spool: Spool, known: dict[str, bool], worker: str) -> bool:
    if worker not in known:
        known[worker] = spool.workers.is_alive(worker)
    return known[worker]


def rebuild(spool: Spool, index: Worklist, metrics: Metrics) -> bool:
    """Fill the index from the studies' decisions if Redis lost it, or may have lost a part of it."""
    if index.is_built():
        return False
    token = index.begin_building()
    decisions = _readable(spool.decisions())
    while some := list(islice(decisions, _AT_ONCE)):
        for decision in some:  # first, so that what was read is not listed for a moment
            _restore(spool, index, decision.study_instance_uid)
        index.put_all(some)
    for uid in index.study_uids():
        with _one_study(uid):
            if spool.decision(uid) is None:
                index.remove(uid)
    metrics.index_rebuilds.inc()
    return index.end_building(token)


def _restore(spool: Spool, index: Worklist, uid: str) -> None:
    try:
        restore(spool, index, uid)
    except (OSError, ValueError, KeyError, TypeError) as error:  # broken, or of another release; it hides no other
        logger.error("who read study %s cannot be read (%s): it is listed", uid, type(error).__name__)


def _readable(records: Iterable[dict[str, Any]]) -> Iterator[TriageDecision]:
    for record in records:
        try:
            yield decision_from(record)
        except (ValueError, KeyError, TypeError) as error:  # of another release; it must not hide the others
            uid = record.get("study_instance_uid")
            logger.error("the decision of study %s cannot be read (%s): send it again", uid, type(error).__name__)


def remove_old(spool: Spool, index: Worklist, retention_days: float, now: float) -> int:
    """Remove studies tagged longer ago than the retention, of which nothing waits, is dead or is undelivered."""
    before = now - retention_days * _DAY_S
    old = [uid for uid in spool.study_uids() if spool.touched(uid) < before]
    count = 0
    for uid in old:
        with _one_study(uid), spool.study_lock(uid):
            # Only now: what came since the list was made must not go with the old.
            if _is_finished(spool, uid, before):
                index.remove(uid)
                spool.remove_study(uid)
                count += 1
    return count


@contextmanager
def _one_study(uid: str) -> Iterator[None]:
    """Trouble with the files of one study ends nobody else's sweep: a worker cannot start before it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:  # its disk, or records of another release
        logger.error("sweep: study %s: %s", uid, getattr(error, "strerror", None) or type(error).__name__)


def expire_old(spool: Spool, index: Worklist, expire_after_days: float, now: float) -> int:
    """Take off the list what was tagged last longer ago: a late image gives a study its time anew. Some at once."""
    before = now - expire_after_days * _DAY_S
    count = 0
    for uid in index.arrived_before(before):
        with _one_study(uid), suppress(NotTaggedError):  # retention removed it meanwhile
            count += expire(spool, index, uid, before, now)
        if count >= _EXPIRED_AT_ONCE:  # the next sweep goes on: what waits for work must not wait for this
            break
    return count


def _is_finished(spool: Spool, study_instance_uid: str, before: float) -> bool:
    decision = spool.decision(study_instance_uid)
    return (
        decision is not None
        and decision.get("tagged_at", before) < before
        and not spool.is_unfinished(study_instance_uid)
        and not Outbox(spool).is_undelivered(study_instance_uid)
    )
