"""The DICOM listener: accepts connections, one thread for each, until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry

from triage import metrics as metric_names
from triage.association import Association, Canary, Node
from triage.errors import StartError
from triage.metrics import Metrics, Rejection
from triage.negotiation import AdmissionPolicy, supported_contexts
from triage.queueing import Queued, Work
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.receive import HighWater
from triage.settings import ListenerSettings
from triage.spool import Spool
from triage.upper_layer import Connection
from triage.validation.namespace import PLACE

logger = logging.getLogger(__name__)

_BACKLOG = 512
_REQUEST_TIMEOUT_S = 15.0  # from connecting to a whole A-ASSOCIATE-RQ (ARTIM)
_UNSENT_AT_MOST = 100_000  # beyond this, new objects wait for the sweep


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
    with open_port(settings.host, settings.port, shared=settings.processes > 1) as port:
        server = Server(settings, spool, high_water, metrics, announcer.put, validation, canary)
        listening(port.getsockname()[1])
        logger.info("listening as %s on %s:%d", settings.ae_title, *port.getsockname()[:2])
        while not stopping():
            server.accept(port)
        server.accept_waiting(port)
    server.finish(settings.shutdown_grace_s)
    announcer.close()


def open_port(host: str, port: int, shared: bool, setting: str = "listener.port") -> socket.socket:
    """A listening socket, which other processes may share only if ``shared``: else a second service would not notice.

    Raises StartError that names the ``setting``.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as undo:
            listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
            listening.bind((host, port))
            listening.listen(_BACKLOG)
            listening.settimeout(0.5)
            undo.pop_all()
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}; see {setting}") from error
    return listening


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
        self._node = (
            node
            if validation is None
            else _with_validation(node, settings.validation_ae_title, validation, on_received)
        )

    def accept(self, port: socket.socket) -> bool:
        """Take one connection, if one comes within the socket's timeout."""
        try:
            sock, address = port.accept()
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:  # out of file descriptors, or the peer is gone already
            logger.warning("accept: %s", error)
            time.sleep(0.05)
            return False
        self._make_room()
        connection = Connection(sock, self._settings.max_pdu_bytes, _REQUEST_TIMEOUT_S)
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

    def accept_waiting(self, port: socket.socket) -> None:
        """Take every connection that the kernel has accepted for us, so that closing the port resets nobody."""
        port.setblocking(False)
        while self.accept(port):
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


def _with_validation(node: Node, ae_title: str, spool: Spool, on_received: Callable[[Queued], None]) -> Node:
    """Objects of the validation's sender lie apart and are counted nowhere; the queue is told where they lie."""
    uncounted = metric_names.create(CollectorRegistry())
    aside = replace(
        node, spool=spool, metrics=uncounted, on_received=lambda instance: on_received(Work(PLACE, instance))
    )
    return replace(node, aside={ae_title: aside})


@dataclass(frozen=True, eq=False)
class _Peer:
    connection: Connection
    association: Association


@dataclass
class Announcer:
    """Tells the queue of new objects, from a thread of its own: no trouble there reaches a sender.

    What cannot be told is found by the sweep, because it lies in the inbox.
    """

    enqueue: Callable[[Queued], object]
    metrics: Metrics
    _waiting: queue.SimpleQueue[Queued | None] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="enqueue", daemon=True)
        self._thread.start()

    def put(self, instance: Queued) -> None:
        """Tell of ``instance`` soon; returns at once."""
        if self._waiting.qsize() < _UNSENT_AT_MOST:
            self._waiting.put(instance)

    def close(self, timeout_s: float = 10.0) -> None:
        """Tell of what is left, and end."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (instance := self._waiting.get()) is not None:
            try:
                self.enqueue(instance)
            except Exception as error:  # the edge: whatever is wrong with the queue, the sweep recovers it
                self.metrics.enqueue_failures.inc()
                logger.warning("%s is not queued (%s); the sweep will find it", instance.sop_instance_uid, error)


def admission_policy(settings: ListenerSettings, own_ae_title: str = "") -> AdmissionPolicy:
    """Who may connect, from the settings, and we ourselves. Raises StartError for an address that is none."""
    try:
        networks = tuple(ipaddress.ip_network(text, strict=False) for text in settings.source_addresses)
    except ValueError as error:
        raise StartError(f"listener.source_addresses: {error}") from error
    validation = frozenset({settings.validation_ae_title} - {""})
    return AdmissionPolicy(
        ae_title=settings.ae_title,
        require_called_ae_title=settings.require_called_ae_title,
        calling_ae_titles=frozenset(settings.calling_ae_titles) | validation
        if settings.calling_ae_titles
        else frozenset(),
        networks=networks,
        own_ae_title=own_ae_title,
        own_address=settings.host,
    )
