"""Work whose job was lost: objects in the inbox that no living worker has, and jobs whose object is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from triage.metrics.reconcile import ReconcileMetrics
from triage.queue.job_states import POSTPONED
from triage.queue.score_queue import Delay, PartitionedInstance, Queued, ScoreQueue, job_id
from triage.queue.stat_orders import is_stat
from triage.spool.instance import ReceivedInstance
from triage.spool.processes import LiveWorkers
from triage.spool.store import Store

_AT_ONCE = 500
_DANGLING_AT_ONCE = 5000
_HELD_AT_MOST_S = 1800.0  # longer than any batch takes; beyond it an object is scored twice at worst, with one result


class LossReason(StrEnum):
    """Reasons for which an object is queued again; also the label ``why`` of sweep_requeued_total."""

    LOST_JOB = "lost_job"
    DEAD_WORKER = "dead_worker"


@dataclass
class JobHoldTimes:
    """Times for which each job has been reported in work at a living worker.

    A status in Redis proves nothing: a job that is reported so for too long is queued again. ``clock`` in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    since: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_over(self, key: str, worker: str) -> bool:
        """Return whether the worker has had the job for too long; the first call begins to count."""
        return self.clock() - self.since.setdefault((key, worker), self.clock()) > _HELD_AT_MOST_S

    def keep(self, waiting: set[str]) -> None:
        """Forget all but the keys in ``waiting``."""
        self.since = {each: since for each, since in self.since.items() if each[0] in waiting}


@dataclass
class LostJobs:
    """Finds and queues lost work of one sweep.

    ``workers``: by which living workers are known; they are those of the patients' spool for all partitions.
    """

    jobs: ScoreQueue
    workers: LiveWorkers
    hold_times: JobHoldTimes
    _alive: dict[str, bool] = field(default_factory=dict)

    def requeue(
        self, spool: Store, waiting: Sequence[PartitionedInstance], is_prior: Callable[[ReceivedInstance], bool]
    ) -> Iterator[LossReason]:
        """Queue each object of ``waiting`` that has no job, or one that no living worker has; yield why.

        Raises RedisError, and OSError if ``spool`` cannot be read.
        """
        if not waiting:
            return
        queued = self.jobs.waiting_ids()
        self._alive.clear()
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            for work, (status, worker) in zip(some, self.jobs.states(some), strict=True):
                reason = self._reason(work, status, worker, queued)
                if reason is None or not spool.waits(work.instance):
                    continue
                if reason is LossReason.DEAD_WORKER and self.workers.has_died(worker):
                    self.jobs.count_death(work)
                # A look at bytes that cannot be had may take half a minute: they have their turn like any other object.
                is_read = not self.jobs.delays(work, Delay.UNREAD)
                self._queue(
                    work,
                    is_read and is_prior(work.instance),
                    is_read and is_stat(spool, work.instance),
                    new=not (status or job_id(work) in queued),
                )
                yield reason

    def _queue(self, work: Queued, prior: bool, stat: bool, *, new: bool) -> None:
        """Queue an object. Where it is ``new``, nothing is removed first, which costs as much as the queue is long.

        It has no job then, and is in no queue; or there is a key of another type in the job's place.
        """
        if not new or not self.jobs.enqueue(work, prior, stat):
            self.jobs.again(work, prior, stat)

    def _reason(self, work: Queued, status: str, worker: str, queued: set[str]) -> LossReason | None:
        if status == "started" and worker:
            return self._reason_started(work, worker) if self._is_alive(worker) else LossReason.DEAD_WORKER
        if status == POSTPONED and self.jobs.is_postponed(work):
            return None
        return None if status == "queued" and job_id(work) in queued else LossReason.LOST_JOB

    def _reason_started(self, work: Queued, worker: str) -> LossReason | None:
        """Return why a job is not in work at the living worker that Redis names; None if it may be."""
        if self.jobs.is_idle(worker):  # asked after its job: what it has finished meanwhile waits no longer
            return LossReason.LOST_JOB if self.jobs.state(work) == ("started", worker) else None
        return LossReason.LOST_JOB if self.hold_times.is_over(work.key, worker) else None

    def _is_alive(self, worker: str) -> bool:
        if worker not in self._alive:
            self._alive[worker] = self.workers.is_alive(worker)
        return self._alive[worker]


def remove_dangling(jobs: ScoreQueue, known: set[bytes], waiting: Iterable[Queued], metrics: ReconcileMetrics) -> int:
    """Remove jobs of ``known`` whose object is not in ``waiting``, and return their number."""
    dangling = sorted(known - {job_id(each).encode() for each in waiting})
    count = jobs.remove_jobs(dangling[:_DANGLING_AT_ONCE])
    if count:
        metrics.queue_repairs.labels("job").inc(count)
    return count
