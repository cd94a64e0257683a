"""`triage sweep`: reconcile spool, queue and worklist, once or until SIGTERM."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry

from triage.delivery.outbox import Outbox
from triage.metrics import process as metric_names
from triage.metrics.process import Metrics
from triage.metrics.sweep import StateMetrics, create_state
from triage.operations import quarantine
from triage.operations.compare import ComparisonTurns, compare
from triage.operations.reconcile import Patience, Swept
from triage.operations.reconcile import sweep as sweep_once
from triage.queue.priors import is_prior, oldest_awaited
from triage.queue.score_queue import ScoreQueue, connect
from triage.runtime.health import HealthServer
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.deliver import prepare_destinations
from triage.service.partitions import partitions
from triage.service.running import introduce
from triage.settings.schema import Settings
from triage.spool.clock import Clock, ClockState, next_state
from triage.spool.spool import Spool
from triage.spool.usage import SpoolState
from triage.spool.validation_partition import FORGET_AFTER_S, VALIDATION, close_partition, remove_old_studies
from triage.worklist.index import Worklist
from triage.worklist.index_check import IndexCheck

logger = logging.getLogger(__name__)

_LONGEST_SWEEP_S = 300.0


@dataclass
class SweepMemory:
    """What one process remembers from sweep to sweep."""

    turns: ComparisonTurns = field(default_factory=ComparisonTurns)
    patience: Patience = field(default_factory=Patience)
    clock: ClockState | None = None


def sweep(settings: Settings, spool: Spool, redis_url: str, once: bool) -> Swept | None:
    """Reconcile now, and then regularly until SIGTERM; with ``once`` only now, raising RedisError if Redis is away."""
    from redis.exceptions import RedisError

    from triage.canary.wiring import schedule
    from triage.delivery.deliverer import warn_of_strangers
    from triage.dicom.tls import not_after_or_zero
    from triage.spool.usage import read_state

    stopping = StopSignal()
    warn_of_strangers(Outbox(spool), prepare_destinations(settings, spool))
    registry = CollectorRegistry()
    metrics, state = metric_names.create(registry), create_state(registry)
    introduce("sweep", settings, metrics)
    if certificate := settings.client.tls_certificate:
        metrics.certificate_not_after.labels("client").set_function(partial(not_after_or_zero, certificate))
    memory = SweepMemory()
    if once:
        return reconcile(settings, spool, redis_url, metrics, memory)
    progress = ProgressWatch("sweeping", 3 * settings.sweep.interval_s + _LONGEST_SWEEP_S)
    with ExitStack() as running:
        if settings.canary.interval_minutes:
            running.enter_context(schedule(settings, spool, redis_url, registry))
        running.enter_context(
            HealthServer(registry, progress.ready, settings.sweep.metrics_port, settings.sweep.metrics_host)
        )
        while not stopping.received:
            oldest: float | None = None
            try:
                swept = reconcile(settings, spool, redis_url, metrics, memory)
                state.studies_overdue.set(swept.overdue)
                metrics.sweep_runs.labels("ok").inc()
                state.redis_up.set(1)
                oldest = _oldest_awaited(settings, spool, redis_url, state)
                progress.made()
            except RedisError as error:
                progress.failed(f"Redis does not answer ({type(error).__name__}): nothing is swept")
                logger.error("sweep: Redis does not answer (%s); trying again", error)
                metrics.sweep_runs.labels("failed").inc()
                state.redis_up.set(0)
            except OSError as error:
                progress.failed(f"the spool cannot be used ({error.strerror or type(error).__name__})")
                logger.error("sweep: spool: %s; trying again", error)
                metrics.sweep_runs.labels("failed").inc()
            state.clock_jumped.set(bool(memory.clock and memory.clock.has_jumped))
            export_state(read_state(spool), state, oldest)
            state.last_sweep.set(time.time())
            stopping.wait(settings.sweep.interval_s)
    return None


def reconcile(settings: Settings, spool: Spool, redis_url: str, metrics: Metrics, memory: SweepMemory) -> Swept:
    """Sweep once; ``memory`` is this process's, from sweep to sweep."""
    found = partitions(settings, spool)
    steady = _looked_at_clock(spool, memory)
    if not (memory.clock and memory.clock.has_jumped):
        _forget_validations(spool, found)
        _expire_quarantine(spool, settings.spool.quarantine_days)
    with connect(redis_url, settings.redis.timeout_s) as client:
        index = Worklist(client)
        return sweep_once(
            spool,
            ScoreQueue(client),
            index,
            metrics,
            compare=partial(compare, spool, index, IndexCheck(client), metrics, memory.turns),
            patience=memory.patience,
            clock_is_steady=steady,
            retention_days=settings.spool.retention_days,
            expire_after_days=settings.worklist.expire_after_days,
            now=time.time(),
            partitions=found,
            prior=partial(is_prior, spool, after_days=settings.decision.prior_after_days),
        )


def _looked_at_clock(spool: Spool, memory: SweepMemory) -> bool:
    """Whether the clock may be believed in what cannot be undone. Says in the log when it jumped, once."""
    clock = Clock(spool)
    before = memory.clock or clock.read()
    try:
        state = clock.poll()
    except OSError as error:  # a full disk: what is too old is what has to go
        logger.error("sweep: the time cannot be noted (%s)", error.strerror or type(error).__name__)
        state = next_state(before, clock.instant())
    if state.has_jumped and not (before and before.has_jumped and before.jump_s == state.jump_s):
        logger.error(
            "the clock jumped by %+.0f s: no study is removed and none leaves the list by age until it has been steady "
            "for a day, or a person has looked at it: triage clock",
            state.jump_s,
        )
    memory.clock = state
    return state.is_steady


def _expire_quarantine(spool: Spool, after_days: float) -> None:
    """Trouble with what nobody could parse keeps nothing else from the sweep."""
    try:
        if after_days:
            quarantine.expire(spool, after_days, time.time())
    except OSError as error:
        logger.error("sweep: quarantine: %s", error.strerror or type(error).__name__)


def _forget_validations(spool: Spool, partitions: Mapping[str, Spool]) -> None:
    """Remove what a command left there that was killed; all of it where no setting names a validation's sender."""
    if VALIDATION not in partitions:
        close_partition(spool)
        return
    try:
        remove_old_studies(partitions[VALIDATION], time.time() - FORGET_AFTER_S)
    except OSError as error:
        logger.error("sweep: %s cannot be cleaned: %s", VALIDATION, error.strerror or type(error).__name__)


def _oldest_awaited(settings: Settings, spool: Spool, redis_url: str, state: StateMetrics) -> float | None:
    """Note how much waits in each queue; when the oldest object came that is no prior, 0 if none waits.

    None where every object is awaited: no study is a prior there.
    """
    with connect(redis_url, settings.redis.timeout_s) as client:
        jobs = ScoreQueue(client)
        for queue, depth in jobs.depths().items():
            state.queue_depth.labels(queue).set(depth)
        return oldest_awaited(spool, jobs.is_of_priors) if settings.decision.prior_after_days else None


def export_state(state: SpoolState, metrics: StateMetrics, oldest_awaited_at: float | None = None) -> None:
    """Set the gauges that describe the spool. ``oldest_awaited_at``: without priors; None: of all that waits."""
    usage = state.usage
    metrics.spool_total_bytes.set(usage.total_bytes)
    metrics.spool_free_bytes.set(usage.free_bytes)
    metrics.spool_total_inodes.set(usage.total_inodes)
    metrics.spool_free_inodes.set(usage.free_inodes)
    for name, folder in {"inbox": state.inbox, "dead": state.dead, "quarantine": state.quarantine}.items():
        metrics.spool_bytes.labels(name).set(folder.size_bytes)
    metrics.inbox_objects.set(state.inbox.objects)
    metrics.oldest_untagged.set((state.inbox.oldest or 0) if oldest_awaited_at is None else oldest_awaited_at)
    metrics.dead_letters.set(state.dead.objects)
    metrics.quarantined.set(state.quarantine.objects)
