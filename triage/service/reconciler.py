"""Reconcile spool, queue and worklist by the settings: in `triage sweep`, and at the start of each worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from redis import Redis

from triage.errors import cause
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations import quarantine
from triage.operations.compare import ComparisonTurns, compare
from triage.operations.lost_jobs import JobHoldTimes
from triage.operations.reconcile import SharedState, SweepResult, sweep
from triage.operations.retention import AgeLimits, RetentionTurns
from triage.queue.priors import is_prior
from triage.queue.score_queue import ScoreQueue, connect
from triage.service.clock_watch import ClockWatch
from triage.service.partitions import partitions
from triage.settings.schema import Settings
from triage.spool.store import Store
from triage.spool.validation_partition import FORGET_AFTER_S, VALIDATION, close_partition, remove_old_studies
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_check import IndexCheck
from triage.worklist.opening import worklist_of
from triage.worklist.table.completion import CompletionTurns
from triage.worklist.table.worklist import TableWorklist
from triage.worklist.worklist import Worklist

logger = logging.getLogger(__name__)

COMPLETED_AT_ONCE = 500
"""Studies whose objects a sweep reads from the bucket for the list: after an upgrade or a move."""


class Reconciler:
    """Sweeps of one process, and what it keeps from sweep to sweep."""

    def __init__(
        self,
        settings: Settings,
        spool: Store,
        redis_url: str,
        metrics: ReconcileMetrics,
        completed_at_once: int = COMPLETED_AT_ONCE,
    ) -> None:
        self._settings, self._spool, self._redis_url, self._metrics = settings, spool, redis_url, metrics
        self._completed_at_once = completed_at_once
        self._turns, self._hold_times, self._retention = ComparisonTurns(), JobHoldTimes(), RetentionTurns()
        self._completion = CompletionTurns()
        self.clock = ClockWatch(spool)

    def run(self) -> SweepResult:
        """Sweep once. Raises RedisError if Redis does not answer, OSError if the spool cannot be used."""
        settings, spool = self._settings, self._spool
        apart = partitions(settings, spool)
        now, is_steady = self.clock.look()
        limits = AgeLimits(
            now,
            settings.spool.retention_days,
            settings.worklist.expire_after_days,
            settings.adjudication.keep_days,
            clock_is_steady=is_steady,
        )
        if not self.clock.is_doubted:
            _forget_validations(spool, apart, now)
            _expire_quarantine(spool, settings.spool.quarantine_days, now)
        return self._reconcile(apart, limits)

    def repair(self) -> SweepResult:
        """Sweep once and remove nothing by age: that is for the process that leads, by one clock. Raises as ``run``."""
        return self._reconcile(partitions(self._settings, self._spool), None)

    def _reconcile(self, apart: Mapping[str, Store], limits: AgeLimits | None) -> SweepResult:
        settings, spool = self._settings, self._spool
        with connect(self._redis_url, settings.redis.timeout_s) as client:
            index = worklist_of(spool, client)
            return sweep(
                SharedState(spool, ScoreQueue(client), index, apart, self._retention),
                self._metrics,
                limits,
                is_prior=partial(is_prior, spool, after_days=settings.decision.prior_after_days),
                compare=self._comparison(index, client),
                hold_times=self._hold_times,
            )

    def _comparison(self, index: Worklist, client: Redis) -> Callable[[], int]:
        """Return what compares the index with the files; of a list that is of the store, what completes its rows."""
        if isinstance(index, TableWorklist):
            return partial(_complete, index, self._completed_at_once, self._completion)
        assert isinstance(index, IndexedWorklist)
        return partial(compare, self._spool, index, IndexCheck(client), self._metrics, self._turns)


def _complete(index: TableWorklist, at_once: int, turns: CompletionTurns) -> int:
    """Complete rows of the list, and return 0: nothing in Redis was repaired."""
    if count := index.complete(at_once, turns):
        logger.info("sweep: the patients and readings of %d listed studies were read", count)
    return 0


def _expire_quarantine(spool: Store, after_days: float, now: float) -> None:
    """Remove old objects from quarantine; an error there must not end the sweep."""
    try:
        if after_days:
            quarantine.expire(spool, after_days, now)
    except OSError as error:
        logger.error("sweep: quarantine: %s", cause(error))


def _forget_validations(spool: Store, apart: Mapping[str, Store], now: float) -> None:
    """Remove what a validation left that was killed; the whole partition where no setting names a sender."""
    if VALIDATION not in apart:
        close_partition(spool)
        return
    try:
        remove_old_studies(apart[VALIDATION], now - FORGET_AFTER_S)
    except OSError as error:
        logger.error("sweep: %s cannot be cleaned: %s", VALIDATION, cause(error))
