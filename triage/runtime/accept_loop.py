"""The accept loop of every port of our own protocols: a thread for each connection, until a signal to stop."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from triage.dicom.tls import ServerTLS
from triage.errors import cause
from triage.runtime.logs import seldom

logger = logging.getLogger(__name__)

_POLL_S = 0.5  # for the end of the process
_RETRY_S = 0.05  # without a free descriptor the next attempt fails as well


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


class AcceptLoop(Generic[C]):
    """The open connections of one process.

    Args:
        begin: Makes a connection from an accepted socket, the address of its peer and the TLS of the port. It must not
            wait for the peer. None: it has closed the socket.
        choose_surplus: Called first, with the open connections, the oldest first and without those that it has already
            chosen; the one that it returns is ended, so that idle connections leave room for new ones.
        on_count: Called with the number of open connections whenever that changes.
    """

    def __init__(
        self,
        begin: Callable[[socket.socket, str, ServerTLS | None], C | None],
        choose_surplus: Callable[[Sequence[C]], C | None] = lambda open_now: None,
        on_count: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._begin, self._choose_surplus, self._on_count = begin, choose_surplus, on_count
        self._connections: dict[threading.Thread, C] = {}
        self._ending: list[C] = []  # chosen as surplus; their threads may take a while to end
        self._lock = threading.Lock()

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
        while self.open() and time.monotonic() < deadline:
            time.sleep(0.02)

    def break_off(self) -> None:
        """End all open connections."""
        for each in self.open():
            each.break_off()

    def _accept(self, port: ListeningPort) -> bool:
        """Accept one connection, if one waits. Return True if there was one."""
        try:
            accepted, address = port.port.accept()
        except BlockingIOError:  # another process or thread has accepted it
            return False
        except OSError as error:  # out of file descriptors, or the peer is gone
            logger.warning("a connection could not be accepted: %s", cause(error), extra=seldom())
            time.sleep(_RETRY_S)
            return False
        self._end_surplus()
        try:
            connection = self._begin(accepted, address[0], port.tls)
        except Exception as error:  # the edge: a peer that is gone, or a defect, must not end the loop
            logger.warning("the connection of %s was closed: %s", address[0], error, extra=seldom(type(error).__name__))
            accepted.close()
            return True
        if connection is not None:
            self._start(connection, accepted, address[0])
        return True

    def _end_surplus(self) -> None:
        open_now = self.open()
        self._ending = [each for each in self._ending if each in open_now]
        if surplus := self._choose_surplus([each for each in open_now if each not in self._ending]):
            self._ending.append(surplus)
            surplus.break_off()

    def _start(self, connection: C, accepted: socket.socket, address: str) -> None:
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"peer {address}", daemon=True)
        with self._lock:
            self._connections[thread] = connection
            self._on_count(len(self._connections))
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

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._connections.pop(thread, None)
            self._on_count(len(self._connections))
