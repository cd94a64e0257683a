"""`triage listen`: receive objects until SIGTERM."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from triage.errors import cause
from triage.metrics.listener import ListenerMetrics
from triage.queue.priors import is_prior
from triage.queue.stat_orders import is_stat
from triage.runtime.descriptors import shortage_of_descriptors
from triage.runtime.drain import Drain
from triage.runtime.stop_signal import StopSignal
from triage.service.health import health_server
from triage.service.partitions import partitions
from triage.service.readiness import ready_until
from triage.service.running import introduce, watch_clock
from triage.service.store_probe import asked_aside
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.usage import HighWater
from triage.spool.validation_partition import VALIDATION

if TYPE_CHECKING:
    from triage.listener.storage import StorageTargets
    from triage.queue.score_queue import Queued, ScoreQueue

logger = logging.getLogger(__name__)


def listen(settings: Settings, spool: Store, redis_url: str, index: int, of: int = 0) -> None:
    """Receive objects until SIGTERM: start, and serve until the last association has ended or was aborted.

    ``of`` processes share the port; 0: as many as the settings name.
    """
    from triage.listener import server
    from triage.queue.score_queue import ScoreQueue, connect

    stopping, registry = StopSignal(), CollectorRegistry()
    metrics = ListenerMetrics(registry)
    introduce("listen", settings, metrics)
    _warn_of_limits(settings, spool)
    targets = _storage_targets(settings, spool, metrics)
    drain = Drain(stopping, settings.listener.drain_s)
    why_refused = asked_aside(partial(_why_refused, spool, targets.high_water), settings.store.kind)
    state = _ListenerState(why_refused, watch_clock(spool, metrics).why_off)
    ready = partial(ready_until, drain, state.ready, "new associations are for other listeners")
    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        health_server(registry, ready, settings.listener, index),
    ):
        server.run(
            settings.listener.model_copy(update={"processes": of or settings.listener.processes}),
            targets,
            partial(_enqueue, ScoreQueue(client), spool, settings.decision.prior_after_days),
            lambda: drain.is_over,
            state.set_port,
        )


def _storage_targets(settings: Settings, spool: Store, metrics: ListenerMetrics) -> StorageTargets:
    """Return the spools that objects of patients, of the canary and of validations are stored in."""
    from triage.canary.wiring import canary_at_listener
    from triage.listener.storage import StorageTarget, StorageTargets, uncounted_target

    validation = partitions(settings, spool).get(VALIDATION)
    return StorageTargets(
        StorageTarget(spool, metrics),
        HighWater(settings.spool.high_water, settings.spool.min_free_bytes),
        {settings.listener.validation_ae_title: uncounted_target(validation, VALIDATION)} if validation else {},
        canary_at_listener(settings.canary.ae_title, spool),
    )


@dataclass
class _ListenerState:
    """Readiness of a listener: its first port, once it listens, and why objects would be refused.

    ``caution`` says what a person should know of one that receives.
    """

    why_refused: Callable[[], str]
    caution: Callable[[], str] = lambda: ""
    port: int | None = None

    def set_port(self, port: int) -> None:
        """Record that it listens on a port; the first one counts."""
        self.port = self.port or port

    def ready(self) -> tuple[bool, str]:
        if why := self.why_refused():
            return False, f"{why}: C-STORE is answered 0xA700"
        if self.port is None:
            return False, "not listening yet"
        return True, "; ".join(filter(None, (f"listening on {self.port}", self.caution())))


def _why_refused(spool: Store, high_water: HighWater) -> str:
    """Return why objects cannot be stored now; empty if they can."""
    if why := spool.why_away():
        return why
    try:
        return "the spool is above its high-water mark" if high_water.reached(spool) else ""
    except OSError as error:
        return f"it is not known how full the spool is ({cause(error)})"


def _warn_of_limits(settings: Settings, spool: Store) -> None:
    if caution := spool.caution:
        logger.warning("the spool %s %s (docs/how-to/runbook.md)", spool.name, caution)
    # A socket for each association and as many that wait for one, and a file for each object.
    if shortage := shortage_of_descriptors(3 * settings.listener.max_associations, "listener.max_associations"):
        logger.warning(shortage)


def _enqueue(jobs: ScoreQueue, spool: Store, prior_after_days: float, work: Queued) -> None:
    """Queue received work: of a prior study behind all other, of a STAT order before it; the canary has its turn."""
    if not isinstance(work, ReceivedInstance):
        jobs.enqueue(work)
        return
    prior = is_prior(spool, work, after_days=prior_after_days)
    jobs.enqueue(work, prior, not prior and is_stat(spool, work))
