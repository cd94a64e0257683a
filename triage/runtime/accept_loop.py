"""The accept loop of every port of our own protocols: a thread for each connection, until a signal to stop."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from triage.dicom.tls import ServerTLS
from triage.errors import cause
from triage.runtime.logs import seldom
from triage.runtime.proxy_protocol import NO_PROXIES, ProxyProtocol

logger = logging.getLogger(__name__)

_POLL_S = 0.5  # for the end of the process
_RETRY_S = 0.05  # without a free descriptor the next attempt fails as well
_MOST_AWAITED = 200  # connections of proxies without their header yet; it comes with the connection


@dataclass(frozen=True)
class ListeningPort:
    """One listening socket, non-blocking; ``tls`` is None for an unencrypted port."""

    port: socket.socket
    tls: ServerTLS | None = None


class ServedConnection(Protocol):
    """One accepted connection."""

    def serve(self) -> None:
        """Serve it to its end, and close the socket. Called in a thread of its own; raises nothing."""

    def break_off(self) -> None:
        """End every wait of ``serve`` at once; called from any thread."""


C = TypeVar("C", bound=ServedConnection)
T = TypeVar("T")


class AcceptLoop(Generic[C]):
    """The open connections of one process.

    Args:
        begin: Makes a connection from an accepted socket, the address of its peer and the TLS of the port. It must not
            wait for the peer. None: it has closed the socket. For one call at a time, from any thread.
        choose_surplus: Called first, with the open connections, the oldest first and without those that it has already
            chosen; the one that it returns is ended, so that idle connections leave room for new ones.
        on_count: Called with the number of open connections whenever that changes.
        proxies: TCP proxies whose connections are those of the peers that their headers name.
    """

    def __init__(
        self,
        begin: Callable[[socket.socket, str, ServerTLS | None], C | None],
        choose_surplus: Callable[[Sequence[C]], C | None] = lambda open_now: None,
        on_count: Callable[[int], object] = lambda count: None,
        proxies: ProxyProtocol = NO_PROXIES,
    ) -> None:
        self._begin, self._choose_surplus, self._on_count = begin, choose_surplus, on_count
        self._proxies = proxies
        self._connections: dict[threading.Thread, C] = {}
        self._awaited: dict[threading.Thread, socket.socket] = {}  # of proxies, without their header yet
        self._ending: list[C] = []  # chosen as surplus; their threads may take a while to end
        self._lock = threading.Lock()
        self._entering = threading.Lock()  # who is surplus is chosen for one that enters at a time

    def run(self, ports: Sequence[ListeningPort], stopping: Callable[[], bool]) -> None:
        """Accept at ``ports`` until ``stopping()``.

        Connections that the kernel has accepted by then come last: closing the ports would reset them.
        """
        with selectors.DefaultSelector() as selector:
            for port in ports:
                selector.register(port.port, selectors.EVENT_READ, port)
            while not stopping():
                for key, _ in selector.select(_POLL_S):
                    self._accept(key.data)
        for port in ports:
            while self._accept(port):
                continue

    def open(self) -> list[C]:
        """Return the open connections, the oldest first."""
        with self._lock:
            return list(self._connections.values())

    def own(self) -> C:
        """Return the connection of the calling thread."""
        with self._lock:
            return self._connections[threading.current_thread()]

    def join(self, seconds: float) -> None:
        """Wait until all have ended, ``seconds`` at most."""
        deadline = time.monotonic() + seconds
        while (self._connections or self._awaited) and time.monotonic() < deadline:
            time.sleep(0.02)

    def break_off(self) -> None:
        """End all open connections."""
        with self._lock:
            awaited = list(self._awaited.values())
        for waiting in awaited:
            _shut(waiting)
        for each in self.open():
            each.break_off()

    def _accept(self, port: ListeningPort) -> bool:
        """Accept one connection, if one waits. Return True if there was one."""
        try:
            accepted, (address, *_) = port.port.accept()
        except BlockingIOError:  # another process or thread has accepted it
            return False
        except OSError as error:  # out of file descriptors, or the peer is gone
            logger.warning("a connection could not be accepted: %s", cause(error), extra=seldom())
            time.sleep(_RETRY_S)
            return False
        if self._proxies.expects_header(address):
            self._await_header(accepted, address, port.tls)
            return True
        with self._entering:
            if (connection := self._begun(accepted, address, port.tls)) is not None:
                thread = _thread(self._serve, connection, address)
                self._enter(thread, connection)
                self._start(thread, accepted, address)
        return True

    def _await_header(self, accepted: socket.socket, proxy: str, tls: ServerTLS | None) -> None:
        """Start the thread of a proxy's connection, which reads the header first: no other connection waits for it."""
        thread = _thread(self._serve_proxied, partial(self._begun_behind, accepted, proxy, tls), proxy)
        with self._lock:
            if len(self._awaited) >= _MOST_AWAITED:
                _shut(self._awaited.pop(next(iter(self._awaited))))
            self._awaited[thread] = accepted
        self._start(thread, accepted, proxy)

    def _begun(self, accepted: socket.socket, address: str, tls: ServerTLS | None) -> C | None:
        """Return the connection of a peer, after room was made for it; None if its socket was closed."""
        self._end_surplus()
        try:
            return self._begin(accepted, address, tls)
        except Exception as error:  # the edge: a peer that is gone, or a defect, must not end the loop
            logger.warning("the connection of %s was closed: %s", address, error, extra=seldom(type(error).__name__))
            accepted.close()
            return None

    def _begun_behind(self, accepted: socket.socket, proxy: str, tls: ServerTLS | None) -> C | None:
        """Return the connection of the peer that a proxy's header names; None if its socket was closed."""
        address = self._proxies.peer(accepted, proxy)
        if address is None:
            accepted.close()
            return None
        thread = threading.current_thread()
        thread.name = f"peer {address}"
        with self._entering:
            if (connection := self._begun(accepted, address, tls)) is not None:
                self._enter(thread, connection)
        return connection

    def _end_surplus(self) -> None:
        open_now = self.open()
        self._ending = [each for each in self._ending if each in open_now]
        if surplus := self._choose_surplus([each for each in open_now if each not in self._ending]):
            self._ending.append(surplus)
            surplus.break_off()

    def _enter(self, thread: threading.Thread, connection: C) -> None:
        with self._lock:
            self._awaited.pop(thread, None)
            self._connections[thread] = connection
            self._on_count(len(self._connections))

    def _start(self, thread: threading.Thread, accepted: socket.socket, address: str) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the system permits no more threads: this peer has to try again
            logger.error("the connection of %s was closed: %s", address, error, extra=seldom())
            self._forget(thread)
            accepted.close()

    def _serve(self, connection: C) -> None:
        try:
            connection.serve()
        finally:
            self._forget(threading.current_thread())

    def _serve_proxied(self, begun: Callable[[], C | None]) -> None:
        try:
            if (connection := begun()) is not None:
                connection.serve()
        finally:
            self._forget(threading.current_thread())

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._awaited.pop(thread, None)
            self._connections.pop(thread, None)
            self._on_count(len(self._connections))


def _thread(serve: Callable[[T], None], of: T, address: str) -> threading.Thread:
    return threading.Thread(target=serve, args=(of,), name=f"peer {address}", daemon=True)


def _shut(waiting: socket.socket) -> None:
    with suppress(OSError):  # gone already
        waiting.shutdown(socket.SHUT_RDWR)
