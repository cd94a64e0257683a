"""The DICOM listener: accepts connections, one thread for each, until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from prometheus_client import CollectorRegistry

from triage.dicom.tls import ServerTLS
from triage.dicom.upper_layer import Connection
from triage.dicom.upper_layer_tls import SecureConnection
from triage.errors import StartError
from triage.listener.association import Association, Canary, Node
from triage.listener.c_store_scp import HighWater
from triage.listener.negotiation import AdmissionPolicy, supported_contexts
from triage.metrics import process as metric_names
from triage.metrics.process import Metrics, Rejection
from triage.queue.score_queue import Queued
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.settings.load import ListenerSettings
from triage.spool.partitions import PLACE
from triage.spool.spool import Spool

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


@dataclass(frozen=True)
class Door:
    """A port on which we listen; ``tls`` is None where nothing is encrypted."""

    port: socket.socket
    tls: ServerTLS | None = None


def open_doors(settings: ListenerSettings, stack: ExitStack, metrics: Metrics) -> list[Door]:
    """The ports of the settings, the plain one first; closed with ``stack``. Raises StartError."""
    shared = settings.processes > 1
    doors = []
    if not settings.tls_only:
        doors.append(Door(stack.enter_context(open_port(settings.host, settings.port, shared))))
    if settings.tls_port is not None:
        assert settings.tls_certificate is not None and settings.tls_key is not None
        tls = ServerTLS(settings.tls_certificate, settings.tls_key, settings.tls_client_ca, settings.tls_client_crl)
        metrics.certificate_not_after.labels("listener").set_function(tls.not_after)
        if settings.tls_client_crl:
            metrics.crl_next_update.labels("listener").set_function(tls.next_update)
        doors.append(Door(stack.enter_context(open_port(settings.host, settings.tls_port, shared)), tls))
    return doors


class Waiting:
    """Waits for connections at several ports."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._selector = selectors.DefaultSelector()
        for door in doors:
            self._selector.register(door.port, selectors.EVENT_READ, door)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def next(self, seconds: float) -> list[Door]:
        """The ports at which somebody waits; none after ``seconds``."""
        return [key.data for key, _ in self._selector.select(seconds)]


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
            listening.setblocking(False)  # another process may take what we saw waiting
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
