"""`triage deliver`: deliver results until SIGTERM."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from triage.channels.settings import Destination
from triage.delivery.outbox import Outbox
from triage.errors import StartError
from triage.metrics import process as metric_names
from triage.metrics.delivery import create_delivery
from triage.metrics.process import Metrics
from triage.runtime.health import HealthServer
from triage.runtime.progress import ProgressWatch, all_ready
from triage.runtime.stop_signal import StopSignal
from triage.service.running import introduce
from triage.settings.schema import Settings
from triage.spool.spool import Spool

logger = logging.getLogger(__name__)

_LONGEST_ROUND_S = 900.0  # a destination that hangs may take its time for each of some messages


def deliver(settings: Settings, spool: Spool) -> None:
    """Hand results over until SIGTERM."""
    from triage.canary.wiring import canary_at_deliverer
    from triage.channels.kind import Surroundings
    from triage.channels.registry import channel_of
    from triage.delivery import deliverer as delivery

    stopping = StopSignal()
    registry = CollectorRegistry()
    general, metrics = metric_names.create(registry), create_delivery(registry)
    introduce("deliver", settings, general)
    _watch_certificates(general, settings.channels.enabled())
    outbox, device_uid = Outbox(spool), spool.installation_uid()
    prepare_destinations(settings, spool)
    closing = ExitStack()
    deliverers: list[delivery.DestinationLoop] = []
    for each in settings.channels.enabled():
        channel = channel_of(each, Surroundings(device_uid, closing.callback))
        patients = delivery.Deliverer(spool, outbox, each, channel, metrics, lambda: stopping.received)
        deliverers.append(canary_at_deliverer(patients) if each.canary else patients)
    named = ", ".join(each.name for each in deliverers) or "nowhere: no destination is switched on"
    progress = {each.name: ProgressWatch(f"delivering to {each.name}", _LONGEST_ROUND_S) for each in deliverers}

    def ready() -> tuple[bool, str]:
        return all_ready(list(progress.values())) if progress else (True, f"delivering {named}")

    with (
        closing,
        _only_one_deliverer(spool),
        HealthServer(registry, ready, settings.deliver.metrics_port, settings.deliver.metrics_host),
    ):
        logger.info("delivering to %s", named)
        wait, interval_s = stopping.wait, settings.deliver.interval_s
        delivery.run(deliverers, outbox, lambda: stopping.received, wait, interval_s, progress)


def _watch_certificates(metrics: Metrics, destinations: Iterable[Destination]) -> None:
    """Export when the certificates expire that we show to destinations."""
    from triage.dicom.tls import not_after_or_zero

    for each in destinations:
        certificate: Path | None = getattr(each, "tls_certificate", None)
        if certificate:
            watched = partial(not_after_or_zero, certificate)
            metrics.certificate_not_after.labels(each.name).set_function(watched)


def prepare_destinations(settings: Settings, spool: Spool) -> tuple[str, ...]:
    """The names of the destinations that are switched on; their folders are there."""
    names = tuple(each.name for each in settings.channels.enabled())
    Outbox(spool).prepare(names)
    return names


@contextmanager
def _only_one_deliverer(spool: Spool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(spool.workers.hold("deliver"))
        except BlockingIOError as error:
            raise StartError(f"another `triage deliver` runs on the spool {spool.root}: stop it first") from error
        yield
