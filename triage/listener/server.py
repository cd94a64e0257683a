"""The DICOM listener of one process: accepts connections, one thread for each, until it is stopped."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from triage.dicom.tls import ServerTLS
from triage.dicom.upper_layer import UpperLayerConnection
from triage.dicom.upper_layer_tls import SecureConnection
from triage.listener.admission import admission_policy
from triage.listener.association import Association, LocalNode
from triage.listener.enqueuer import Enqueuer
from triage.listener.negotiation import supported_contexts
from triage.listener.ports import open_ports
from triage.listener.settings import ListenerSettings
from triage.listener.slots import AssociationSlots
from triage.listener.storage import StorageTargets
from triage.metrics.labels import NoRequest, Rejection
from triage.queue.names import Queued
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.runtime.accept_loop import AcceptLoop, ListeningPort
from triage.runtime.proxy_protocol import ProxyProtocol

logger = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S = 15.0  # from the connection to a complete A-ASSOCIATE-RQ (ARTIM, PS3.8 9.1.5)


def run(
    settings: ListenerSettings,
    targets: StorageTargets,
    enqueue: Callable[[Queued], object],
    stopping: Callable[[], bool],
    listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until ``stopping()``. Raises StartError.

    Args:
        settings: the section ``listener``.
        targets: where objects are stored.
        enqueue: queues a stored object; called in a thread of its own, and may raise.
        stopping: polled; true ends the loop.
        listening: called with each port once it accepts connections.
    """
    server = StorageSCP(settings, targets, enqueue)
    with ExitStack() as stack:
        ports = server.start(stack, listening)
        server.loop(ports, stopping)
    server.stop()


class StorageSCP:
    """The listener of one process: ``start``, ``loop``, ``stop``."""

    def __init__(
        self, settings: ListenerSettings, targets: StorageTargets, enqueue: Callable[[Queued], object]
    ) -> None:
        self._settings = settings
        self._metrics = targets.patients.metrics
        self._enqueuer = Enqueuer(enqueue, self._metrics)
        self._slots = AssociationSlots(settings.max_associations, settings.max_associations_per_address)
        self._connections: AcceptLoop[Association] = AcceptLoop(
            self._begin,
            self._slots.superfluous,
            proxies=ProxyProtocol.of(settings.proxy_protocol_from, self._metrics.count_refused_header),
        )
        self._stopping = False
        self._node = LocalNode(
            targets=targets,
            admission=admission_policy(settings, targets.canary.ae_title),
            supported=supported_contexts(TRANSFER_SYNTAXES),
            max_pdu=settings.max_pdu_bytes,
            timeout_s=settings.network_timeout_s,
            on_received=self._enqueuer.put,
            take_slot=self._take_slot,
        )

    def start(self, stack: ExitStack, listening: Callable[[int], None]) -> Sequence[ListeningPort]:
        """Open the ports, which ``stack`` closes, and call ``listening`` with each. Raises StartError."""
        for reason in NoRequest:  # a series that begins with its first count would not show as an increase
            self._metrics.association_requests_failed.labels(reason)
        if self._settings.proxy_protocol_from:
            self._metrics.begin_at_zero()
        ports = open_ports(self._settings, stack, self._metrics)
        for each in ports:
            host, port = each.port.getsockname()[:2]
            listening(port)
            text = (self._settings.ae_title, host, port, " (TLS)" if each.tls else "")
            logger.info("listening as %s on %s:%d%s", *text)
        return ports

    def loop(self, ports: Sequence[ListeningPort], stopping: Callable[[], bool]) -> None:
        """Accept connections at ``ports`` until ``stopping()``."""
        self._connections.run(ports, stopping)

    def stop(self) -> None:
        """Let associations finish for the grace time of the settings, then abort them, and queue what was received.

        An association is aborted between two messages if it comes to that point soon.
        """
        self._stopping = True
        self._connections.join(self._settings.shutdown_grace_s)
        for association in self._connections.open():
            association.finishing = True
        self._connections.join(1.0)
        self._connections.break_off()
        self._connections.join(5.0)
        self._enqueuer.close()

    def _begin(self, sock: socket.socket, address: str, tls: ServerTLS | None) -> Association:
        """Return the association of a new connection; its own thread does the TLS handshake, so no other peer waits."""
        if tls is None:
            connection = UpperLayerConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S)
        else:
            connection = SecureConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S, tls.context)
        return Association(connection, address, self._node, _REQUEST_TIMEOUT_S)

    def _take_slot(self, association: Association) -> Rejection | None:
        """Return why an association is rejected; called by its thread before it accepts."""
        return Rejection.SHUTTING_DOWN if self._stopping else self._slots.take(association, self._connections.open())
