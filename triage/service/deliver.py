"""`triage deliver`: deliver results until SIGTERM."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from triage.delivery.outbox import Outbox
from triage.errors import EXIT_LEAD_LOST
from triage.metrics.delivery import DeliveryMetrics
from triage.metrics.lead import gauges_of
from triage.metrics.paging import PagingMetrics
from triage.runtime.health import HealthServer, Readiness
from triage.runtime.progress import ProgressWatch, all_ready
from triage.runtime.stop_signal import StopSignal
from triage.service.destinations import prepare_destinations, watch_destinations
from triage.service.health import health_server
from triage.service.leadership import Leadership
from triage.service.paging import pager
from triage.service.plugins import announce_plugins, channel_plugins
from triage.service.running import introduce, watch_clock
from triage.settings.schema import Settings
from triage.spool.store import Store

if TYPE_CHECKING:
    from triage.delivery.deliverer import DestinationLoop

logger = logging.getLogger(__name__)

_LONGEST_ROUND_S = 900.0  # a destination that hangs may take its time for each of some messages


def deliver(settings: Settings, spool: Store) -> None:
    """Deliver results until SIGTERM: start, deliver to all destinations in turn, close their connections.

    Where paging is on, it has a thread here too.
    """
    from triage.delivery.deliverer import run, warn_of_strangers

    stopping, registry = StopSignal(), CollectorRegistry()
    leadership = Leadership("deliver", settings.store, spool, stopping, registry)
    metrics = DeliveryMetrics(registry)
    introduce("deliver", settings, metrics)
    watch_clock(spool, metrics)
    announce_plugins("deliver", settings)
    watch_destinations(metrics, settings.channels.enabled())
    prepare_destinations(settings, spool)
    with ExitStack() as closing:
        loops = _destination_loops(settings, spool, metrics, stopping, closing)
        if settings.paging.on:
            loops.append(pager(settings, spool, registry, lambda: stopping.received))
        names = ", ".join(each.name for each in loops) or "nowhere: no destination is switched on"
        progress = {each.name: ProgressWatch(f"delivering to {each.name}", _LONGEST_ROUND_S) for each in loops}

        def ready() -> tuple[bool, str]:
            return all_ready(list(progress.values())) if progress else (True, f"delivering {names}")

        def no_objects() -> bool:
            return not spool.gives_objects()

        def ended() -> bool:
            """Return whether to stop, or to leave it to another host: none for what one destination alone lacks."""
            return stopping.received or leadership.gives_way(*progress.values(), is_of_host=no_objects)

        def run_once() -> bool:
            warn_of_strangers(Outbox(spool), [each.name for each in loops])
            return run(loops, ended, stopping.wait, settings.deliver.interval_s, progress, lambda: leadership.is_lost)

        with leadership.alone_here(), _health(settings, leadership, ready):
            is_over = _while_leading(leadership, names, run_once, progress)
    if not is_over and leadership.goes_on:
        sys.exit(EXIT_LEAD_LOST)  # what hangs in a thread ends with the process, which is started again to stand by
    leadership.exit_if_lost()


def _while_leading(
    leadership: Leadership, names: str, run_once: Callable[[], bool], progress: Mapping[str, ProgressWatch]
) -> bool:
    """Deliver whenever this process leads. Return False if a thread is at work still."""
    while leadership.goes_on:
        with leadership.taken() as lead:
            if lead is None:
                break
            logger.info("delivering to %s", names)
            for each in progress.values():
                each.begin()
            if not run_once():
                lead.keep_until_the_end()  # what is being sent is not taken up before this process has ended
                return False
    return True


def _health(settings: Settings, leadership: Leadership, ready: Readiness) -> HealthServer:
    shown = leadership.shown(gauges_of(DeliveryMetrics, PagingMetrics))
    return health_server(shown, lambda: leadership.ready(ready), settings.deliver)


def _destination_loops(
    settings: Settings, spool: Store, metrics: DeliveryMetrics, stopping: StopSignal, closing: ExitStack
) -> list[DestinationLoop]:
    """Return what delivers to each destination; ``closing`` closes their connections at the end."""
    from triage.canary.wiring import canary_at_deliverer
    from triage.channels.kind import Surroundings
    from triage.channels.registry import channel_of
    from triage.delivery.deliverer import Deliverer

    outbox, device_uid = Outbox(spool), spool.installation_uid()
    plugins = channel_plugins(settings.plugins)
    loops: list[DestinationLoop] = []
    for each in settings.channels.enabled():
        channel = channel_of(each, Surroundings(device_uid, closing.callback, plugins))
        patients = Deliverer(spool, outbox, each, channel, metrics, lambda: stopping.received)
        loops.append(canary_at_deliverer(patients) if each.canary else patients)
    return loops
