"""The DICOM listener: accepts connections, one thread for each, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
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
from triage.listener.ports import Door, Waiting, open_doors
from triage.listener.settings import ListenerSettings
from triage.metrics import process as metric_names
from triage.metrics.labels import Rejection
from triage.metrics.process import Metrics
from triage.queue.score_queue import Queued
from triage.radiograph.decode import TRANSFER_SYNTAXES
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
        with Waiting(doors) as waiting:
            while not stopping():
                for door in waiting.next(0.5):
                    server.accept(door)
        for door in doors:
            server.accept_waiting(door)
    server.finish(settings.shutdown_grace_s)
    announcer.close()


class Server:
    """The open associations of one process."""

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
        self._peers: dict[threading.Thread, _Peer] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._metrics = metrics
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

    def accept(self, door: Door) -> bool:
        """Take one connection, if one waits."""
        try:
            sock, address = door.port.accept()
        except BlockingIOError:
            return False
        except OSError as error:  # out of file descriptors, or the peer is gone already
            logger.warning("accept: %s", error)
            time.sleep(0.05)
            return False
        self._make_room()
        connection = self._connection(sock, door.tls)
        peer = _Peer(connection, Association(connection, address[0], self._node))
        thread = threading.Thread(target=self._serve, args=(peer,), name=f"association {address[0]}", daemon=True)
        with self._lock:
            self._peers[thread] = peer
        try:
            thread.start()
        except RuntimeError as error:  # the system lets us have no more threads: this peer has to try again
            logger.error("connection of %s closed: %s", address[0], error)
            self._peers.pop(thread)
            sock.close()
        return True

    def accept_waiting(self, door: Door) -> None:
        """Take every connection that the kernel has accepted for us, so that closing the port resets nobody."""
        while self.accept(door):
            continue

    def finish(self, grace_s: float) -> None:
        """Let associations finish for ``grace_s`` seconds, then abort them: between two messages if that comes soon."""
        self._stopping = True
        self._join(time.monotonic() + grace_s)
        for peer in self._open():
            peer.association.finishing = True
        self._join(time.monotonic() + 1.0)
        for peer in self._open():
            peer.connection.break_off()
        self._join(time.monotonic() + 5.0)

    def _connection(self, sock: socket.socket, tls: ServerTLS | None) -> Connection:
        """The handshake of TLS comes later, in the association's thread: a peer that does none keeps nobody waiting."""
        if tls is None:
            return Connection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S)
        return SecureConnection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S, tls.context)

    def _serve(self, peer: _Peer) -> None:
        try:
            peer.association.serve()
        finally:
            with self._lock:
                self._peers.pop(threading.current_thread(), None)

    def _take_seat(self) -> Rejection | None:
        """Asked by an association's thread before it accepts; None makes it count as established."""
        if self._stopping:
            return Rejection.SHUTTING_DOWN
        with self._lock:
            if sum(each.association.established for each in self._peers.values()) >= self._settings.max_associations:
                return Rejection.TOO_MANY
            self._peers[threading.current_thread()].association.established = True
        return None

    def _make_room(self) -> None:
        """Connections that never ask for an association must not keep real senders out: the oldest of them goes."""
        waiting = [peer for peer in self._open() if not peer.association.established]
        if len(waiting) > self._settings.max_associations:
            waiting[0].connection.break_off()

    def _open(self) -> list[_Peer]:
        with self._lock:
            return list(self._peers.values())

    def _join(self, deadline: float) -> None:
        while self._open() and time.monotonic() < deadline:
            time.sleep(0.02)


def _with_validation(node: Node, ae_title: str, spool: Spool) -> Node:
    """Objects of the validation's sender lie apart and are counted nowhere; the queue is told where they lie."""
    aside = replace(node, spool=spool, metrics=metric_names.create(CollectorRegistry()), place=PLACE)
    return replace(node, aside={ae_title: aside})


@dataclass(frozen=True, eq=False)
class _Peer:
    connection: Connection
    association: Association
