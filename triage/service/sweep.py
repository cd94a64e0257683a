"""`triage sweep`: reconcile spool, queue and worklist, once or until SIGTERM."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache, partial

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from triage.delivery.outbox import Outbox
from triage.errors import cause
from triage.metrics.canary import CanaryMetrics
from triage.metrics.lead import gauges_of
from triage.metrics.sweep import SweepMetrics
from triage.operations.reconcile import SweepResult
from triage.operations.retention import OLD_PART_S
from triage.queue.priors import oldest_awaited
from triage.queue.score_queue import ScoreQueue, connect
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.destinations import prepare_destinations, watch_certificate
from triage.service.health import health_server
from triage.service.host_watch import HostWatch
from triage.service.leadership import Leadership
from triage.service.reconciler import Reconciler
from triage.service.running import introduce, watch_clock
from triage.settings.schema import Settings
from triage.spool.file_system_usage import SpoolState
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store
from triage.spool.usage import read_state

logger = logging.getLogger(__name__)

_LONGEST_SWEEP_S = 300.0
_ALL = 10_000_000  # studies: a person who sweeps once waits for all of them


def sweep(settings: Settings, spool: Store, redis_url: str) -> None:
    """Reconcile regularly until SIGTERM: start, sweep and export the shared state, stop."""
    stopping, registry = StopSignal(), CollectorRegistry()
    leadership = Leadership("sweep", settings.store, spool, stopping, registry)
    metrics = SweepMetrics(registry)
    _prepare(settings, spool)
    introduce("sweep", settings, metrics)
    watch_clock(spool, metrics)
    watch_certificate(metrics, "client", settings.client.tls_certificate)
    reconciler = Reconciler(settings, spool, redis_url, metrics)
    hosts = HostWatch(spool, metrics) if settings.store.kind != "files" else None
    progress = ProgressWatch("sweeping", 3 * settings.sweep.interval_s + _LONGEST_SWEEP_S)
    ready = partial(leadership.ready, progress.ready)
    shown = leadership.shown(gauges_of(SweepMetrics, CanaryMetrics))
    canaries = cache(lambda: _canaries(settings, spool, redis_url, registry))  # once it leads, and then the same
    parts = _OwnParts(spool, settings.sweep.interval_s)

    def sweep_and_export() -> None:
        oldest = _sweep(reconciler, metrics, progress, settings, spool, redis_url)
        metrics.clock_jumped.set(reconciler.clock.has_jumped)
        _export_state(spool, metrics, progress, oldest)
        if hosts is not None:
            hosts.look()
        metrics.last_sweep.set(time.time())

    with health_server(shown, ready, settings.sweep):
        while leadership.goes_on:
            with leadership.taken(parts.remove_old) as lead, ExitStack() as meanwhile:
                if lead is not None:
                    meanwhile.enter_context(canaries()())
                    progress.begin()
                    while not (stopping.received or leadership.gives_way(progress)):
                        sweep_and_export()
                        stopping.wait(settings.sweep.interval_s)
    leadership.exit_if_lost()


def sweep_once(settings: Settings, spool: Store, redis_url: str) -> SweepResult:
    """Reconcile once. Raises RedisError if Redis does not answer."""
    StopSignal()  # SIGTERM waits for the end of the sweep
    metrics = SweepMetrics()
    _prepare(settings, spool)
    introduce("sweep", settings, metrics)
    return Reconciler(settings, spool, redis_url, metrics, completed_at_once=_ALL).run()


def _prepare(settings: Settings, spool: Store) -> None:
    from triage.delivery.deliverer import warn_of_strangers

    warn_of_strangers(Outbox(spool), prepare_destinations(settings, spool))


def _canaries(
    settings: Settings, spool: Store, redis_url: str, registry: CollectorRegistry
) -> Callable[[], AbstractContextManager[None]]:
    """Return what makes a context in which canaries are sent, where the settings ask for it."""
    from triage.canary.wiring import schedule

    return schedule(settings, spool, redis_url, registry) if settings.canary.interval_minutes else nullcontext


def _sweep(
    reconciler: Reconciler,
    metrics: SweepMetrics,
    progress: ProgressWatch,
    settings: Settings,
    spool: Store,
    redis_url: str,
) -> float | None:
    """Sweep once and export the result; after an error the next sweep tries again.

    Return when the oldest object came that is awaited; None where that is not known: see ``_export_queues``.
    """
    try:
        result = reconciler.run()
        metrics.studies_overdue.set(result.overdue)
        metrics.sweep_runs.labels("ok").inc()
        metrics.redis_up.set(1)
        oldest = _export_queues(settings, spool, redis_url, metrics)
        progress.made()
        return oldest
    except RedisError as error:
        progress.failed(f"Redis does not answer ({cause(error)}): nothing is swept")
        logger.error("sweep: Redis does not answer (%s); trying again", error)
        metrics.redis_up.set(0)
    except OSError as error:
        progress.failed(f"the spool cannot be used ({cause(error)})")
        logger.error("sweep: spool: %s; trying again", error)
    metrics.sweep_runs.labels("failed").inc()
    return None


def _export_queues(settings: Settings, spool: Store, redis_url: str, metrics: SweepMetrics) -> float | None:
    """Export the depth of each queue, and return when the oldest object came that is of no prior study.

    POSIX seconds; 0 if none waits, None where no study is a prior and every object is awaited. Raises RedisError.
    """
    with connect(redis_url, settings.redis.timeout_s) as client:
        jobs = ScoreQueue(client)
        for queue, depth in jobs.depths().items():
            metrics.queue_depth.labels(queue).set(depth)
        return oldest_awaited(spool, jobs.is_of_priors) if settings.decision.prior_after_days else None


def _export_state(spool: Store, metrics: SweepMetrics, progress: ProgressWatch, oldest: float | None) -> None:
    try:
        export_state(read_state(spool), metrics, oldest)
    except LeaseLostError:
        raise
    except OSError as error:
        progress.failed(f"the state of the spool cannot be read ({cause(error)})")
        logger.error("sweep: the state of the spool cannot be read (%s); trying again", cause(error))


class _OwnParts:
    """The unfinished transfers of this host while another one leads, whose sweep does not see them."""

    def __init__(self, spool: Store, every_s: float) -> None:
        self._spool, self._every_s, self._due = spool, every_s, 0.0

    def remove_old(self) -> None:
        """Remove those that are left over, every few seconds."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every_s
        try:
            self._spool.remove_local_parts(time.time() - OLD_PART_S)
        except OSError as error:
            logger.warning("sweep: what transfers left on this host cannot be removed: %s", cause(error))


def export_state(state: SpoolState, metrics: SweepMetrics, oldest_awaited_at: float | None = None) -> None:
    """Set the gauges of the spool.

    ``oldest_awaited_at``: receipt of the oldest waiting object that is of no prior study. None: of all that wait.
    """
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
    metrics.undeleted.set(state.undeleted)
