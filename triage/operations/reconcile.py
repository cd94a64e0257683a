"""The sweep: what should be in work is queued, what was lost is rebuilt, what is past its retention goes.

Files are the truth and the queue is a hint, so the sweep can run at any time, anywhere, several at once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from triage.decision.records import decision_from
from triage.decision.types import TriageDecision
from triage.delivery.outbox import Outbox
from triage.metrics.process import Metrics
from triage.queue.score_queue import PartitionedInstance, Queued, ScoreQueue, job_id
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import Worklist
from triage.worklist.reader_acts import NotTaggedError, acts_of, expire, leaving_act, restore

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_EXPIRED_AT_ONCE = 200
_REMOVED_AT_ONCE = 200
_EXAMINED_AT_ONCE = 1000
_DANGLING_AT_ONCE = 5000
_IN_WORK_AT_MOST_S = 1800.0  # longer than any batch takes; then it is scored twice at worst, to one result
_DAY_S = 24 * 3600.0
_OLD_PART_S = 3600.0  # no association lives that long without a word
_OLD_LOCK_S = 7 * _DAY_S


@dataclass(frozen=True)
class Swept:
    """What a sweep found to do. ``overdue``: studies that are past their retention and still here."""

    requeued: int
    rebuilt: bool
    removed: int
    expired: int = 0
    repaired: int = 0
    overdue: int = 0


def sweep(
    spool: Spool,
    jobs: ScoreQueue,
    index: Worklist,
    metrics: Metrics,
    *,
    retention_days: float,
    now: float,
    partitions: Mapping[str, Spool] | None = None,
    expire_after_days: float = 0.0,
    prior: Callable[[ReceivedInstance], bool] = lambda instance: False,
    compare: Callable[[], int] = lambda: 0,
    patience: Patience | None = None,
    clock_is_steady: bool = True,
) -> Swept:
    """Reconcile once. Raises RedisError if Redis does not answer; nothing is half-done then.

    What waits in spools ``beside`` the patients' is queued too, by their names, and counted nowhere. ``prior`` says of
    an object whose job was lost whether it may wait. ``compare`` compares the index with the files, and says how much
    it put right; ``patience`` knows for how long a living worker has had each job, from sweep to sweep. Unless
    ``clock_is_steady`` nothing goes by its age.
    """
    started = time.perf_counter()
    partitions, patience = partitions or {}, patience or Patience()
    repaired = mend(jobs, index, metrics)
    rebuilt = rebuild(spool, index, metrics)
    if not rebuilt:
        repaired += compare()
        rebuilt = rebuild(spool, index, metrics)  # where too much of it is lost
    jobs.tidy()
    known_jobs = set(jobs.jobs())  # first: of a job that is known now the object lies in its inbox, or is done with
    waiting = {partition: _waiting(partition, other) for partition, other in {"": spool, **partitions}.items()}
    lost = list(_lost(spool, jobs, waiting[""], spool, prior, patience))
    for why in lost:
        metrics.sweep_requeued.labels(why).inc()
    requeued = len(lost)
    for partition, other in partitions.items():
        _requeue_partition(partition, other, jobs, waiting[partition], spool, patience)
    if None not in waiting.values():
        repaired += _remove_dangling(
            jobs, known_jobs, [each for some in waiting.values() for each in some or ()], metrics
        )
    jobs.wake()
    removed, overdue, expired = 0, 0, 0
    if clock_is_steady:
        if retention_days:
            removed, overdue = remove_old(spool, index, retention_days, now)
        if expire_after_days:
            expired = expire_old(spool, index, expire_after_days, now)
        spool.remove_old_parts(now - _OLD_PART_S)
        spool.workers.remove_old(now - _OLD_LOCK_S)
    metrics.studies_removed.inc(removed)
    metrics.studies_expired.inc(expired)
    metrics.sweep_duration.observe(time.perf_counter() - started)
    if requeued or rebuilt or removed or repaired:
        logger.info(
            "sweep: %d objects queued again, %d studies removed, index rebuilt: %s, %d things in Redis put right",
            *(requeued, removed, rebuilt, repaired),
        )
    if expired:
        logger.info("sweep: %d studies left the list by age", expired)
    return Swept(requeued, rebuilt, removed, expired, repaired, overdue)


def mend(jobs: ScoreQueue, index: Worklist, metrics: Metrics) -> int:
    """Remove keys of ours that hold what they must not: everything that asks for one fails. How many there were."""
    wrong = index.mend()
    broken, ids = jobs.mend()
    metrics.index_repairs.labels("key").inc(len(wrong))
    metrics.queue_repairs.labels("key").inc(len(broken.split()))
    metrics.queue_repairs.labels("id").inc(ids)
    if wrong or broken or ids:
        keys = " ".join([*wrong, *broken.split()]) or "none"
        logger.warning("sweep: removed from Redis: keys of a wrong kind (%s), %d IDs of no job or worker", keys, ids)
    return len(wrong) + len(broken.split()) + ids


def _waiting(partition: str, spool: Spool) -> list[PartitionedInstance] | None:
    """What waits in a partition; None if it cannot be looked through, which is the patients' spool's to raise."""
    try:
        return [PartitionedInstance(partition, instance) for instance in spool.waiting()]
    except OSError as error:
        if not partition:
            raise
        logger.error("sweep: %s cannot be looked through: %s", partition, error.strerror or type(error).__name__)
        return None


def _remove_dangling(jobs: ScoreQueue, known: set[bytes], waiting: Iterable[Queued], metrics: Metrics) -> int:
    """Remove jobs whose object waits nowhere: it is done with, or never was. How many there were."""
    dangling = sorted(known - {job_id(each).encode() for each in waiting})
    count = jobs.remove_jobs(dangling[:_DANGLING_AT_ONCE])
    if count:
        metrics.queue_repairs.labels("job").inc(count)
    return count


def _requeue_partition(
    partition: str,
    other: Spool,
    jobs: ScoreQueue,
    waiting: list[PartitionedInstance] | None,
    workers: Spool,
    patience: Patience,
) -> None:
    """What waits in a partition is queued again; trouble there keeps nothing else from it."""
    try:
        for _ in _lost(other, jobs, waiting, workers, lambda instance: False, patience):
            logger.info("sweep: an object in %s is queued again", partition)
    except OSError as error:
        logger.error("sweep: %s cannot be looked through: %s", partition, error.strerror or type(error).__name__)


@dataclass
class Patience:
    """For how long each job has been said to be in a living worker's hands; what is said so for too long is not.

    A worker that is at work says so of its jobs alone, and no status in Redis is proof. ``clock`` in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    since: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_over(self, key: str, worker: str) -> bool:
        """Whether the worker has had the job for too long."""
        return self.clock() - self.since.setdefault((key, worker), self.clock()) > _IN_WORK_AT_MOST_S

    def keep(self, waiting: set[str]) -> None:
        """Forget what waits no longer."""
        self.since = {each: since for each, since in self.since.items() if each[0] in waiting}


def _lost(
    spool: Spool,
    jobs: ScoreQueue,
    waiting: list[PartitionedInstance] | None,
    workers: Spool,
    prior: Callable[[ReceivedInstance], bool],
    patience: Patience,
) -> Iterator[str]:
    """Queue what lies in the inbox and has no job, or one that no living worker has; say why of each.

    The locks of workers are in the spool ``workers``.
    """
    if not waiting:
        return
    really_queued = jobs.waiting_ids()
    alive: dict[str, bool] = {}
    for start in range(0, len(waiting), _AT_ONCE):
        some = waiting[start : start + _AT_ONCE]
        for work, (status, worker) in zip(some, jobs.states(some), strict=True):
            why = _why_lost(work, status, worker, really_queued, lambda name: _alive(workers, alive, name))
            if not why and status == "started":
                why = _why_not_in_work(work, worker, jobs, patience)
            if why and spool.waits(work.instance):
                if why == "dead_worker" and workers.workers.has_died(worker):
                    jobs.count_death(work)
                jobs.again(work, prior(work.instance))
                yield why


def _why_lost(work: Queued, status: str, worker: str, really_queued: set[str], alive: Callable[[str], bool]) -> str:
    if status == "started" and worker:
        return "" if alive(worker) else "dead_worker"
    return "" if status == "queued" and job_id(work) in really_queued else "lost_job"


def _why_not_in_work(work: Queued, worker: str, jobs: ScoreQueue, patience: Patience) -> str:
    """Why a job is not in the hands of the living worker that is said to have it: empty if it may be."""
    if jobs.is_idle(worker):  # asked after its job: what it has finished meanwhile waits no longer
        return "lost_job" if jobs.state(work) == ("started", worker) else ""
    return "lost_job" if patience.is_over(work.key, worker) else ""


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
            if not decision.silent:
                _restore(spool, index, decision.study_instance_uid)
        index.put_all(some)
    for uid in index.study_uids():
        with _one_study(uid):
            if (found := spool.decision(uid)) is None or found.get("silent"):
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


def remove_old(spool: Spool, index: Worklist, retention_days: float, now: float) -> tuple[int, int]:
    """Remove studies tagged longer ago than the retention, of which nothing waits, is dead or is undelivered, and which
    have left the list. How many, some at once; and how many as old are left.
    """
    before = now - retention_days * _DAY_S
    old = [uid for uid in spool.study_uids() if spool.touched(uid) < before]
    count = 0
    # Drawn, so that studies that have to stay keep no other from its turn.
    for uid in random.sample(old, min(len(old), _EXAMINED_AT_ONCE)):
        with _one_study(uid), spool.study_lock(uid):
            # Only now: what came since the list was made must not go with the old.
            if _is_finished(spool, uid, before):
                index.remove(uid)
                spool.remove_study(uid)
                count += 1
        if count >= _REMOVED_AT_ONCE:  # a mistake of anybody's costs so many studies in one sweep, and no more
            break
    return count, len(old) - count


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
        and _has_left_the_list(spool, study_instance_uid, decision)
        and not spool.is_unfinished(study_instance_uid)
        and not Outbox(spool).is_undelivered(study_instance_uid)
    )


def _has_left_the_list(spool: Spool, study_instance_uid: str, decision: dict[str, Any]) -> bool:
    """Whether the study as it is now was read, or expired as the site has set it: nobody loses what he has not seen.

    A silent study was never on the list.
    """
    if decision.get("silent"):
        return True
    read = leaving_act(acts_of(spool, study_instance_uid))
    return read is not None and read.revision == decision.get("revision")
