"""The MLLP listener: a thread for each connection, until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prometheus_client import Gauge

from triage.errors import StartError
from triage.hl7.mllp import END, START
from triage.hl7.mllp_frames import Frames, TooLongError
from triage.inbound_reports.receiver import Hearer

logger = logging.getLogger(__name__)

_AT_ONCE = 1 << 16
_LOOK_S = 0.5

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Bounds:
    """What a peer may cost us. A message that has begun has ``message_timeout_s`` to end, and so has a TLS handshake;
    between two messages a connection may be silent for ``idle_timeout_s``.
    """

    max_connections: int
    max_message_bytes: int
    idle_timeout_s: float
    message_timeout_s: float


@dataclass(eq=False)
class _Peer:
    socket: socket.socket
    address: str
    last_heard: float = field(default_factory=time.monotonic)


class Server:
    """The open connections. ``networks``: who may connect; empty for anybody."""

    def __init__(
        self,
        hearer: Hearer,
        bounds: Bounds,
        networks: Sequence[Network],
        context: ssl.SSLContext | None,
        stopping: Callable[[], bool],
        open_now: Gauge,
    ) -> None:
        self._hearer = hearer
        self._bounds = bounds
        self._networks = networks
        self._context = context
        self._stopping = stopping
        self._open_now = open_now
        self._peers: dict[threading.Thread, _Peer] = {}
        self._lock = threading.Lock()

    def accept(self, port: socket.socket) -> None:
        """Take one connection, if one comes within the socket's timeout."""
        try:
            taken, address = port.accept()
        except TimeoutError:
            return
        except OSError as error:  # out of file descriptors, or the peer is gone already
            logger.warning("accept: %s", error)
            time.sleep(0.05)
            return
        if self._networks and not any(ipaddress.ip_address(address[0]) in each for each in self._networks):
            logger.warning("a connection from %s was closed: it is not among reports.source_addresses", address[0])
            taken.close()
            return
        self._make_room()
        self._start(_Peer(taken, address[0]))

    def finish(self, grace_s: float) -> None:
        """Let what is being taken come to its answer; a message that is cut off is sent again by its sender."""
        deadline = time.monotonic() + grace_s
        while self._open() and time.monotonic() < deadline:
            time.sleep(0.02)
        for peer in self._open():
            _hang_up(peer.socket)

    def _start(self, peer: _Peer) -> None:
        thread = threading.Thread(target=self._serve, args=(peer,), name=f"reports {peer.address}", daemon=True)
        with self._lock:
            self._peers[thread] = peer
            self._open_now.set(len(self._peers))
        try:
            thread.start()
        except RuntimeError as error:  # the system lets us have no more threads: this peer has to try again
            logger.error("connection of %s closed: %s", peer.address, error)
            self._forget(thread)
            peer.socket.close()

    def _make_room(self) -> None:
        """Connections that were left open must not keep a sender out: the one that was silent longest goes."""
        peers = sorted(self._open(), key=lambda peer: peer.last_heard)
        if len(peers) >= self._bounds.max_connections:
            logger.warning("more than %d connections: the one of %s is closed", len(peers), peers[0].address)
            _hang_up(peers[0].socket)

    def _serve(self, peer: _Peer) -> None:
        try:
            with peer.socket as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                plain.settimeout(self._bounds.message_timeout_s)
                if self._context is None:
                    self._converse(peer, plain)
                    return
                with self._context.wrap_socket(plain, server_side=True) as wrapped:
                    self._converse(peer, wrapped)
        except (OSError, ValueError) as error:  # the peer is gone, or speaks no TLS
            logger.info("connection of %s ended: %s", peer.address, getattr(error, "reason", None) or error)
        finally:
            self._forget(threading.current_thread())

    def _converse(self, peer: _Peer, connection: socket.socket) -> None:
        frames = Frames(self._bounds.max_message_bytes)
        began = 0.0
        while not self._stopping():
            data = _received(connection)
            if data == b"":
                return
            now = time.monotonic()
            if data is None:
                if self._is_over(peer, frames, began, now):
                    return
                continue
            peer.last_heard = now
            if not frames.begun:
                began = now
            try:
                messages = frames.feed(data)
            except TooLongError as error:
                why = f"longer than {self._bounds.max_message_bytes} bytes"
                self._answer(connection, self._hearer.refuse(error.begun, why))
                return
            for message in messages:
                self._answer(connection, self._hearer.hear(message))
                began = now
            if frames.begun and now - began > self._bounds.message_timeout_s:
                return

    def _is_over(self, peer: _Peer, frames: Frames, began: float, now: float) -> bool:
        """Whether a silent peer has had its time."""
        if frames.begun and now - began > self._bounds.message_timeout_s:
            logger.warning("connection of %s closed: a message did not end", peer.address)
            return True
        return now - peer.last_heard > self._bounds.idle_timeout_s

    def _answer(self, connection: socket.socket, content: bytes) -> None:
        connection.settimeout(self._bounds.message_timeout_s)
        connection.sendall(START + content + END)

    def _open(self) -> list[_Peer]:
        with self._lock:
            return list(self._peers.values())

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._peers.pop(thread, None)
            self._open_now.set(len(self._peers))


def _received(connection: socket.socket) -> bytes | None:
    """What came; empty at the end, None if nothing came for a moment."""
    connection.settimeout(_LOOK_S)
    try:
        return connection.recv(_AT_ONCE)
    except (TimeoutError, ssl.SSLWantReadError):
        return None


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # gone already
        connection.shutdown(socket.SHUT_RDWR)


def tls_context(certificate: str, key: str, clients: str) -> ssl.SSLContext | None:
    """TLS as a server, with certificates of clients asked for if ``clients`` says whose. All are paths, empty for none.

    None without a certificate. Raises StartError for files that cannot be used.
    """
    if not certificate:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients or None)
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"reports.tls_certificate, tls_key or tls_client_ca cannot be used: {error}") from error
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
