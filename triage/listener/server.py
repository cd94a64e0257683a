"""The DICOM listener: accepts connections, one thread for each, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from triage.dicom.tls import ServerTLS
from triage.dicom.upper_layer import Connection
from triage.dicom.upper_layer_tls import SecureConnection
from triage.listener.admission import admission_policy
from triage.listener.association import Association, Canary, Node
from triage.listener.enqueuer import Announcer
from triage.listener.negotiation import supported_contexts
from triage.listener.ports import open_doors
from triage.listener.settings import ListenerSettings
from triage.metrics import process as metric_names
from triage.metrics.labels import Rejection
from triage.metrics.process import Metrics
from triage.queue.score_queue import Queued
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.runtime.accept_loop import AcceptLoop
from triage.spool.partitions import PLACE
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

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
    canary: Canary | None = None,
) -> None:
    """Serve until ``stopping()``. ``listening`` is told the port as soon as connections are accepted.

    What the validation AE title of the settings sends goes into the spool ``validation``, what is the canary to
    ``canary``.
    """
    announcer = Announcer(enqueue, metrics)
    with ExitStack() as stack:
        doors = open_doors(settings, stack, metrics)
        server = Server(settings, spool, high_water, metrics, announcer.put, validation, canary)
        for door in doors:
            host, port = door.port.getsockname()[:2]
            listening(port)
            logger.info("listening as %s on %s:%d%s", settings.ae_title, host, port, " (TLS)" if door.tls else "")
        server.loop.run(doors, stopping)
    server.finish(settings.shutdown_grace_s)
    announcer.close()


class Server:
    """The associations of one process; ``loop`` accepts them."""

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        high_water: HighWater,
        metrics: Metrics,
        on_received: Callable[[Queued], None],
        validation: Spool | None = None,
        canary: Canary | None = None,
    ) -> None:
        self._settings = settings
        self.loop = AcceptLoop(self._begin, self._superfluous)
        self._seats = threading.Lock()
        self._stopping = False
        node = Node(
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
        for peer in self.loop.open():
            peer.association.finishing = True
        self.loop.join(1.0)
        self.loop.break_off()
        self.loop.join(5.0)

    def _begin(self, sock: socket.socket, address: str, tls: ServerTLS | None) -> _Peer:
        """The handshake of TLS comes later, in the association's thread: a peer that does none keeps nobody waiting."""
        if tls is None:
            connection = Connection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S)
        else:
            connection = SecureConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S, tls.context)
        return _Peer(connection, Association(connection, address, self._node))

    def _take_seat(self) -> Rejection | None:
        """Asked by an association's thread before it accepts; None makes it count as established."""
        if self._stopping:
            return Rejection.SHUTTING_DOWN
        with self._seats:
            if sum(each.association.established for each in self.loop.open()) >= self._settings.max_associations:
                return Rejection.TOO_MANY
            self.loop.own().association.established = True
        return None

    def _superfluous(self, open_now: Sequence[_Peer]) -> _Peer | None:
        """Connections that never ask for an association must not keep real senders out: the oldest of them goes."""
        waiting = [peer for peer in open_now if not peer.association.established]
        return waiting[0] if len(waiting) > self._settings.max_associations else None


def _with_validation(node: Node, ae_title: str, spool: Spool) -> Node:
    """Objects of the validation's sender lie apart and are counted nowhere; the queue is told where they lie."""
    aside = replace(node, spool=spool, metrics=metric_names.create(CollectorRegistry()), place=PLACE)
    return replace(node, aside={ae_title: aside})


@dataclass(frozen=True, eq=False)
class _Peer:
    connection: Connection
    association: Association

    def serve(self) -> None:
        self.association.serve()

    def break_off(self) -> None:
        self.connection.break_off()
