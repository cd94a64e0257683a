"""`triage listen`: receive objects until SIGTERM."""

from __future__ import annotations

import logging
from functools import partial

from prometheus_client import CollectorRegistry

from triage.metrics import process as metric_names
from triage.queue.priors import is_prior
from triage.runtime.descriptors import shortage_of_descriptors
from triage.runtime.health import HealthServer
from triage.runtime.stop_signal import StopSignal
from triage.service.partitions import partitions
from triage.service.ready_addresses import nth_port
from triage.service.running import introduce
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.validation_partition import VALIDATION

logger = logging.getLogger(__name__)


def listen(settings: Settings, spool: Spool, redis_url: str, index: int) -> None:
    """Receive objects until SIGTERM."""
    from triage.canary.wiring import canary_at_listener
    from triage.listener import server as listener
    from triage.listener.storage import StorageTarget, StorageTargets, uncounted_target
    from triage.queue.score_queue import ScoreQueue, connect
    from triage.spool.usage import HighWater

    stopping = StopSignal()
    registry = CollectorRegistry()
    metrics = metric_names.create(registry)
    introduce("listen", settings, metrics)
    if caution := spool.file_system.caution:
        logger.warning("the spool %s %s (docs/how-to/runbook.md)", spool.root, caution)
    # A socket for each slot and as many without one, and a file for each object.
    if shortage := shortage_of_descriptors(3 * settings.listener.max_associations, "listener.max_associations"):
        logger.warning(shortage)
    high_water = HighWater(settings.spool.high_water, settings.spool.min_free_bytes)
    validation = partitions(settings, spool).get(VALIDATION)
    targets = StorageTargets(
        StorageTarget(spool, metrics),
        high_water,
        {settings.listener.validation_ae_title: uncounted_target(validation, VALIDATION)} if validation else {},
        canary_at_listener(settings.canary.ae_title, spool),
    )
    ports: list[int] = []

    def ready() -> tuple[bool, str]:
        if high_water.reached(spool):
            return False, "the spool is above its high-water mark: C-STORE is answered 0xA700"
        return bool(ports), f"listening on {ports[0]}" if ports else "not listening yet"

    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(registry, ready, nth_port(settings.listener.metrics_port, index), settings.listener.metrics_host),
    ):
        jobs = ScoreQueue(client)
        prior = partial(is_prior, spool, after_days=settings.decision.prior_after_days)
        listener.run(
            settings.listener,
            targets,
            lambda each: jobs.enqueue(each, isinstance(each, ReceivedInstance) and prior(each)),
            lambda: stopping.received,
            ports.append,
        )
