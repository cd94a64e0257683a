"""The accept loop of every port that we serve ourselves: a thread for each connection, until it is told to stop."""

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
from triage.runtime.logs import seldom

logger = logging.getLogger(__name__)

_LOOK_S = 0.5  # until it is seen that the process is to end
_BREATH_S = 0.05  # without a descriptor left the next attempt fails as well


@dataclass(frozen=True)
class ListeningPort:
    """A listening socket that does not block; ``tls`` is None where nothing is encrypted."""

    port: socket.socket
    tls: ServerTLS | None = None


class Conversation(Protocol):
    """One connection."""

    def serve(self) -> None:
        """Talk until it is over, and close the socket. In a thread of its own; raises nothing."""

    def break_off(self) -> None:
        """End every wait of ``serve`` at once; from any thread."""


C = TypeVar("C", bound=Conversation)


class AcceptLoop(Generic[C]):
    """The open conversations of one process.

    ``begin`` makes one of an accepted socket, its peer's address and the door's TLS; it must not wait for the peer, who
    has said nothing yet. None: it has closed the socket. ``superfluous`` is asked before, with all that are open in the
    order in which they came: the one that it names is broken off, so that connections that were left open keep nobody
    out. ``counted`` is told how many are open, whenever that changes.
    """

    def __init__(
        self,
        begin: Callable[[socket.socket, str, ServerTLS | None], C | None],
        superfluous: Callable[[Sequence[C]], C | None] = lambda open_now: None,
        counted: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._begin, self._superfluous, self._counted = begin, superfluous, counted
        self._conversations: dict[threading.Thread, C] = {}
        self._lock = threading.Lock()

    def run(self, doors: Sequence[ListeningPort], stopping: Callable[[], bool]) -> None:
        """Accept at ``doors`` until ``stopping()``.

        At last comes what the kernel has accepted for us by then: closing the ports would reset it.
        """
        with selectors.DefaultSelector() as selector:
            for door in doors:
                selector.register(door.port, selectors.EVENT_READ, door)
            while not stopping():
                for key, _ in selector.select(_LOOK_S):
                    self._accept(key.data)
        for door in doors:
            while self._accept(door):
                continue

    def open(self) -> list[C]:
        """The conversations that go on, the oldest first."""
        with self._lock:
            return list(self._conversations.values())

    def own(self) -> C:
        """The conversation whose thread asks."""
        with self._lock:
            return self._conversations[threading.current_thread()]

    def join(self, seconds: float) -> None:
        """Wait until all are over, ``seconds`` at most."""
        deadline = time.monotonic() + seconds
        while self.open() and time.monotonic() < deadline:
            time.sleep(0.02)

    def break_off(self) -> None:
        """End all that go on."""
        for each in self.open():
            each.break_off()

    def _accept(self, door: ListeningPort) -> bool:
        """Take one connection, if one waits."""
        try:
            accepted, address = door.port.accept()
        except BlockingIOError:  # another process, or thread, took what we saw waiting
            return False
        except OSError as error:  # out of file descriptors, or the peer is gone already
            logger.warning("a connection could not be accepted: %s", error.strerror or error, extra=seldom())
            time.sleep(_BREATH_S)
            return False
        if surplus := self._superfluous(self.open()):
            surplus.break_off()
        try:
            conversation = self._begin(accepted, address[0], door.tls)
        except Exception as error:  # the edge: a peer that is gone already, or a fault of ours, must not end the loop
            logger.warning("the connection of %s was closed: %s", address[0], error, extra=seldom(type(error).__name__))
            accepted.close()
            return True
        if conversation is not None:
            self._start(conversation, accepted, address[0])
        return True

    def _start(self, conversation: C, accepted: socket.socket, address: str) -> None:
        thread = threading.Thread(target=self._serve, args=(conversation,), name=f"peer {address}", daemon=True)
        with self._lock:
            self._conversations[thread] = conversation
            self._counted(len(self._conversations))
        try:
            thread.start()
        except RuntimeError as error:  # the system lets us have no more threads: this peer has to try again
            logger.error("the connection of %s was closed: %s", address, error, extra=seldom())
            self._forget(thread)
            accepted.close()

    def _serve(self, conversation: C) -> None:
        try:
            conversation.serve()
        finally:
            self._forget(threading.current_thread())

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._conversations.pop(thread, None)
            self._counted(len(self._conversations))
