"""The process that receives reports: start, loop, stop."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triage.dicom.peer_address import Network
from triage.dicom.tls import ServerTLS
from triage.errors import StartError
from triage.inbound_reports.mllp_server import MessageLimits, MLLPServer
from triage.inbound_reports.receiver import ReportReceiver
from triage.metrics.reports import ReportMetrics
from triage.metrics.tls import ServerTLSMetrics
from triage.runtime.accept_loop import AcceptLoop, ListeningPort
from triage.runtime.lasting_thread import lasting_thread
from triage.runtime.proxy_protocol import ProxyProtocol
from triage.runtime.sockets import open_port
from triage.settings.sections.reports import ReportsSettings

logger = logging.getLogger(__name__)

_GRACE_S = 10.0


@dataclass(frozen=True)
class Lifecycle:
    """Start and end of the process.

    Attributes:
        stopping: whether the process is to end.
        wait: waits for that many seconds, or until the process is to end.
        started: called when everything runs.
        listening: called with the port as soon as connections are accepted.
    """

    stopping: Callable[[], bool]
    wait: Callable[[float], None]
    started: Callable[[], None] = lambda: None
    listening: Callable[[int], None] = lambda port: None

    def go_on(self, seconds: float) -> bool:
        """Wait, and return whether the process goes on."""
        self.wait(seconds)
        return not self.stopping()


def run(
    settings: ReportsSettings,
    receiver: ReportReceiver,
    metrics: ReportMetrics,
    watchers: Sequence[Callable[[], None]],
    lifecycle: Lifecycle,
) -> None:
    """Receive messages, and run each of ``watchers`` in a thread of its own, until the process is to end.

    Raises:
        StartError: port, addresses or certificate of the settings cannot be used.
    """
    threads = [lasting_thread(f"watcher {n}", each, lifecycle.go_on) for n, each in enumerate(watchers)]
    for thread in threads:
        thread.start()
    if settings.port:
        _listen(settings, receiver, metrics, lifecycle)
    else:
        lifecycle.started()
        while not lifecycle.stopping():
            lifecycle.wait(1.0)
    for thread in threads:
        thread.join(_GRACE_S)


def _listen(settings: ReportsSettings, receiver: ReportReceiver, metrics: ReportMetrics, lifecycle: Lifecycle) -> None:
    server = MLLPServer(
        receiver,
        MessageLimits(
            settings.max_connections, settings.max_message_bytes, settings.idle_timeout_s, settings.message_timeout_s
        ),
        _networks(settings.source_addresses),
        lifecycle.stopping,
        lambda failure: metrics.tls_failures.labels(failure).inc(),
    )
    tls = server_tls(settings, metrics)
    if settings.proxy_protocol_from:
        metrics.begin_at_zero()
    with open_port(settings.host, settings.port, shared=False, setting="reports.port") as port:
        proxies = ProxyProtocol.of(settings.proxy_protocol_from, metrics.count_refused_header)
        loop = AcceptLoop(server.begin, server.superfluous, metrics.report_connections.set, proxies)
        lifecycle.listening(int(port.getsockname()[1]))
        lifecycle.started()
        logger.info("reports: MLLP%s on %s:%d", " over TLS" if tls else "", *port.getsockname()[:2])
        loop.run([ListeningPort(port, tls)], lifecycle.stopping)
    loop.join(_GRACE_S)  # a message that has come is answered; one that is cut off is sent again
    loop.break_off()


def _networks(addresses: Sequence[str]) -> list[Network]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in addresses]
    except ValueError as error:
        raise StartError(f"reports.source_addresses: {error}") from error


def server_tls(settings: ReportsSettings, metrics: ServerTLSMetrics) -> ServerTLS | None:
    """TLS as the DICOM port has it, with the same files; None without a certificate. Raises StartError."""
    if not settings.tls_certificate:
        return None
    key = settings.tls_key or settings.tls_certificate
    clients, crl = settings.tls_client_ca, settings.tls_client_crl
    tls = ServerTLS(settings.tls_certificate, key, clients, crl, "reports")
    metrics.certificate_not_after.labels("reports").set_function(tls.not_after)
    if crl:
        metrics.crl_next_update.labels("reports").set_function(tls.next_update)
    return tls
