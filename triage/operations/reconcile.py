"""The sweep: queue what waits without a job, rebuild what Redis lost, remove what is past its retention.

The files are authoritative and the queue is a hint, so the sweep can run at any time, anywhere, several at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from triage.errors import cause
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations.index_rebuild import rebuild
from triage.operations.lost_jobs import JobHoldTimes, LostJobs, remove_dangling
from triage.operations.retention import AgedStudies, AgeLimits, RetentionTurns, remove_aged
from triage.queue.score_queue import PartitionedInstance, ScoreQueue
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.worklist.index import IndexedWorklist
from triage.worklist.worklist import Worklist

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """Counts of one sweep. ``overdue``: studies past their retention that are still kept."""

    requeued: int
    rebuilt: bool
    removed: int
    expired: int = 0
    repaired: int = 0
    overdue: int = 0


@dataclass(frozen=True)
class SharedState:
    """The files and the Redis data that a sweep compares.

    ``partitions`` are the spools of canary and validation by their names in the queue; ``spool`` is the patients'.
    ``retention``: the progress of the retention from sweep to sweep.
    """

    spool: Store
    jobs: ScoreQueue
    index: Worklist
    partitions: Mapping[str, Store] = field(default_factory=dict)
    retention: RetentionTurns = field(default_factory=RetentionTurns)


def never_prior(instance: ReceivedInstance) -> bool:
    """Return False: no object is of a prior study."""
    return False


def sweep(
    state: SharedState,
    metrics: ReconcileMetrics,
    limits: AgeLimits | None,
    *,
    is_prior: Callable[[ReceivedInstance], bool] = never_prior,
    compare: Callable[[], int] = lambda: 0,
    hold_times: JobHoldTimes | None = None,
) -> SweepResult:
    """Reconcile once.

    Args:
        state: What is reconciled. Work that waits in its partitions is queued too, and counted nowhere.
        metrics: Counts repairs and removals, and times the sweep.
        limits: Ages from which studies are removed. None: nothing is removed by age.
        is_prior: Whether an object whose job was lost belongs to a prior study, which may wait.
        compare: Compares the list with the files, or completes it; returns the number of repairs.
        hold_times: How long living workers have held their jobs, from sweep to sweep. None: begin anew.

    Raises:
        RedisError: Redis does not answer; nothing is half-done then.
        OSError: The patients' spool cannot be read.
    """
    started = time.perf_counter()
    repaired, rebuilt = _repair_index(state, metrics, compare)
    requeued, dangling = _repair_queue(state, metrics, is_prior, hold_times or JobHoldTimes())
    aged = remove_aged(state.spool, state.index, limits, state.retention) if limits else AgedStudies()
    metrics.studies_removed.inc(aged.removed)
    metrics.studies_expired.inc(aged.expired)
    metrics.sweep_duration.observe(time.perf_counter() - started)
    result = SweepResult(requeued, rebuilt, aged.removed, aged.expired, repaired + dangling, aged.overdue)
    _log(result)
    return result


def _repair_index(state: SharedState, metrics: ReconcileMetrics, compare: Callable[[], int]) -> tuple[int, bool]:
    """Return the number of repairs, and whether the index was rebuilt. A list that is of the store is no index."""
    index = state.index if isinstance(state.index, IndexedWorklist) else None
    repaired = remove_wrong_keys(state.jobs, index, metrics)
    rebuilt = index is not None and rebuild(state.spool, index, metrics)
    if not rebuilt:
        repaired += compare()
        rebuilt = index is not None and rebuild(state.spool, index, metrics)  # where too much of it is lost
    return repaired, rebuilt


def remove_wrong_keys(jobs: ScoreQueue, index: IndexedWorklist | None, metrics: ReconcileMetrics) -> int:
    """Remove keys of ours that hold a value of a wrong kind, on which every command fails. Return their number."""
    of_index, of_queue = index.mend() if index else (), jobs.mend()
    metrics.index_repairs.labels("key").inc(len(of_index))
    metrics.queue_repairs.labels("key").inc(len(of_queue.keys))
    metrics.queue_repairs.labels("id").inc(of_queue.ids)
    keys = (*of_index, *of_queue.keys)
    if keys or of_queue.ids:
        logger.warning(
            "sweep: removed from Redis: keys of a wrong kind (%s), %d IDs of no job or worker",
            *(" ".join(keys) or "none", of_queue.ids),
        )
    return len(keys) + of_queue.ids


def _repair_queue(
    state: SharedState,
    metrics: ReconcileMetrics,
    is_prior: Callable[[ReceivedInstance], bool],
    hold_times: JobHoldTimes,
) -> tuple[int, int]:
    """Queue lost work and remove jobs of no object. Return the number of patients' objects queued, and of jobs."""
    jobs = state.jobs
    jobs.tidy()
    known_jobs = set(jobs.jobs())  # first: of a job that is known now the object lies in its inbox, or is done with
    waiting = [PartitionedInstance("", instance) for instance in state.spool.waiting()]
    apart = {partition: _waiting(partition, spool) for partition, spool in state.partitions.items()}
    lost = LostJobs(jobs, state.spool.workers, hold_times)
    reasons = list(lost.requeue(state.spool, waiting, is_prior))
    for reason in reasons:
        metrics.sweep_requeued.labels(reason).inc()
    readable = {partition: works for partition, works in apart.items() if works is not None}
    for partition, works in readable.items():
        _requeue_partition(partition, state.partitions[partition], lost, works)
    dangling = 0
    if len(readable) == len(apart):
        present = [*waiting, *(work for works in readable.values() for work in works)]
        dangling = remove_dangling(jobs, known_jobs, present, metrics)
    jobs.wake()
    return len(reasons), dangling


def _waiting(partition: str, spool: Store) -> list[PartitionedInstance] | None:
    """Return the waiting objects of a partition; None if it cannot be read, which must not end the sweep."""
    try:
        return [PartitionedInstance(partition, instance) for instance in spool.waiting()]
    except OSError as error:
        logger.error("sweep: %s cannot be read: %s", partition, cause(error))
        return None


def _requeue_partition(partition: str, spool: Store, lost: LostJobs, works: list[PartitionedInstance]) -> None:
    """Queue lost work of a partition; trouble there must not end the sweep."""
    try:
        for _ in lost.requeue(spool, works, never_prior):
            logger.info("sweep: an object in %s is queued again", partition)
    except OSError as error:
        logger.error("sweep: %s cannot be read: %s", partition, cause(error))


def _log(result: SweepResult) -> None:
    if result.requeued or result.rebuilt or result.removed or result.repaired:
        logger.info(
            "sweep: %d objects queued again, %d studies removed, index rebuilt: %s, %d repairs in Redis",
            *(result.requeued, result.removed, result.rebuilt, result.repaired),
        )
    if result.expired:
        logger.info("sweep: %d studies left the list by age", result.expired)
