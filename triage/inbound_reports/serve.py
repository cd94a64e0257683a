"""The process that hears of reports: startup → loop → shutdown on one screen."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Sequence

from triage.errors import StartError
from triage.inbound_reports.mllp_server import Bounds as ConnectionBounds
from triage.inbound_reports.mllp_server import Server, tls_context
from triage.inbound_reports.receiver import Hearer
from triage.metrics.reports import ReportMetrics
from triage.runtime.sockets import open_port
from triage.settings.reports import ReportsSettings

logger = logging.getLogger(__name__)

_ACCEPT_S = 0.2  # until it is seen that the process is to end
_GRACE_S = 10.0


def run(
    settings: ReportsSettings,
    hearer: Hearer,
    metrics: ReportMetrics,
    watchers: Sequence[Callable[[], None]],
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
    started: Callable[[], None] = lambda: None,
    listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Take messages, and run each of ``watchers`` in a thread of its own, until ``stopping()``. Raises StartError.

    ``listening`` is told the port as soon as connections are accepted, ``started`` that everything runs.
    """
    threads = [threading.Thread(target=each, name=f"watcher {n}", daemon=True) for n, each in enumerate(watchers)]
    for thread in threads:
        thread.start()
    if settings.port:
        _listen(settings, hearer, metrics, stopping, started, listening)
    else:
        started()
        while not stopping():
            wait(1.0)
    for thread in threads:
        thread.join(_GRACE_S)


def _listen(
    settings: ReportsSettings,
    hearer: Hearer,
    metrics: ReportMetrics,
    stopping: Callable[[], bool],
    started: Callable[[], None],
    listening: Callable[[int], None],
) -> None:
    bounds = ConnectionBounds(
        settings.max_connections, settings.max_message_bytes, settings.idle_timeout_s, settings.message_timeout_s
    )
    try:
        networks = [ipaddress.ip_network(text, strict=False) for text in settings.source_addresses]
    except ValueError as error:
        raise StartError(f"reports.source_addresses: {error}") from error
    context = tls_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    with open_port(settings.host, settings.port, shared=False, setting="reports.port") as port:
        port.settimeout(_ACCEPT_S)
        server = Server(hearer, bounds, networks, context, stopping, metrics.report_connections)
        listening(int(port.getsockname()[1]))
        started()
        logger.info("reports: MLLP%s on %s:%d", " over TLS" if context else "", *port.getsockname()[:2])
        while not stopping():
            server.accept(port)
    server.finish(_GRACE_S)
