"""The DICOM listener: accepts connections, one thread for each, until it is told to stop."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from prometheus_client import CollectorRegistry

from triage.dicom.tls import ServerTLS
from triage.dicom.upper_layer import UpperLayerConnection
from triage.dicom.upper_layer_tls import SecureConnection
from triage.listener.admission import admission_policy
from triage.listener.association import Association, CanaryRoute, LocalNode
from triage.listener.enqueuer import Enqueuer
from triage.listener.negotiation import supported_contexts
from triage.listener.ports import open_doors
from triage.listener.seats import Seats
from triage.listener.settings import ListenerSettings
from triage.metrics import process as metric_names
from triage.metrics.labels import NoRequest, Rejection
from triage.metrics.process import Metrics
from triage.queue.score_queue import Queued
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.runtime.accept_loop import AcceptLoop
from triage.spool.spool import Spool
from triage.spool.usage import HighWater
from triage.spool.validation_partition import VALIDATION

logger = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S = 15.0  # from connecting to a whole A-ASSOCIATE-RQ (ARTIM)


def run(
    settings: ListenerSettings,
    spool: Spool,
    high_water: HighWater,
    metrics: Metrics,
    enqueue: Callable[[Queued], object],
    stopping: Callable[[], bool],
    listening: Callable[[int], None] = lambda port: None,
    validation: Spool | None = None,
    canary: CanaryRoute | None = None,
) -> None:
    """Serve until ``stopping()``. ``listening`` is told the port as soon as connections are accepted.

    What the validation AE title of the settings sends goes into the spool ``validation``, what is the canary to
    ``canary``.
    """
    announcer = Enqueuer(enqueue, metrics)
    with ExitStack() as stack:
        doors = open_doors(settings, stack, metrics)
        server = StorageSCP(settings, spool, high_water, metrics, announcer.put, validation, canary)
        for door in doors:
            host, port = door.port.getsockname()[:2]
            listening(port)
            logger.info("listening as %s on %s:%d%s", settings.ae_title, host, port, " (TLS)" if door.tls else "")
        server.loop.run(doors, stopping)
    server.finish(settings.shutdown_grace_s)
    announcer.close()


class StorageSCP:
    """The associations of one process; ``loop`` accepts them."""

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        high_water: HighWater,
        metrics: Metrics,
        on_received: Callable[[Queued], None],
        validation: Spool | None = None,
        canary: CanaryRoute | None = None,
    ) -> None:
        self._settings = settings
        self._seats = Seats(settings.max_associations, settings.max_associations_per_address)
        self.loop: AcceptLoop[Association] = AcceptLoop(self._begin, self._seats.superfluous)
        self._stopping = False
        for why in NoRequest:  # a series that begins with its first count would not show as an increase
            metrics.association_requests_failed.labels(why)
        node = LocalNode(
            spool=spool,
            admission=admission_policy(settings, canary.ae_title if canary else ""),
            supported=supported_contexts(TRANSFER_SYNTAXES),
            high_water=high_water,
            max_pdu=settings.max_pdu_bytes,
            timeout_s=settings.network_timeout_s,
            metrics=metrics,
            on_received=on_received,
            take_seat=self._take_seat,
            canary=canary,
        )
        self._node = node if validation is None else _with_validation(node, settings.validation_ae_title, validation)

    def finish(self, grace_s: float) -> None:
        """Let associations finish for ``grace_s`` seconds, then abort them: between two messages if that comes soon."""
        self._stopping = True
        self.loop.join(grace_s)
        for association in self.loop.open():
            association.finishing = True
        self.loop.join(1.0)
        self.loop.break_off()
        self.loop.join(5.0)

    def _begin(self, sock: socket.socket, address: str, tls: ServerTLS | None) -> Association:
        """The handshake of TLS comes later, in the association's thread: a peer that does none keeps nobody waiting."""
        if tls is None:
            connection = UpperLayerConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S)
        else:
            connection = SecureConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S, tls.context)
        return Association(connection, address, self._node, _REQUEST_TIMEOUT_S)

    def _take_seat(self, association: Association) -> Rejection | None:
        """Asked by an association's thread before it accepts."""
        return Rejection.SHUTTING_DOWN if self._stopping else self._seats.take(association, self.loop.open())


def _with_validation(node: LocalNode, ae_title: str, spool: Spool) -> LocalNode:
    """Objects of the validation's sender lie apart and are counted nowhere; the queue is told where they lie."""
    apart = replace(node, spool=spool, metrics=metric_names.create(CollectorRegistry()), partition=VALIDATION)
    return replace(node, partitions={ae_title: apart})
