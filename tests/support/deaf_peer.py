"""A peer that takes a connection and reads nothing until it is told to: most of what is sent waits at the sender."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LARGE = 1 << 20
"""Bytes of a message: more than a receiver's buffers hold unread, less than those of the sender take at once."""


@dataclass
class DeafPeer:
    """A listening peer; ``heard`` has the bytes of its one connection, and ``reset`` says how that ended."""

    port: int
    heard: bytearray = field(default_factory=bytearray)
    reset: bool = False
    _hears: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)

    def hear(self) -> None:
        """Read everything that still comes, until the connection ends."""
        self._hears.set()
        assert self._over.wait(60)

    def serve(self, listening: socket.socket, greet: Callable[[socket.socket], object]) -> None:
        connected, _ = listening.accept()
        with connected:
            greet(connected)
            self._hears.wait(60)
            try:
                while data := connected.recv(1 << 16):
                    self.heard += data
            except ConnectionResetError:
                self.reset = True
        self._over.set()


@contextmanager
def deaf_peer(greet: Callable[[socket.socket], object] = lambda connected: None) -> Iterator[DeafPeer]:
    """A deaf peer on a free port, which calls ``greet`` with its connection before it stops listening."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = DeafPeer(int(listening.getsockname()[1]))
        thread = threading.Thread(target=peer.serve, args=(listening, greet), daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            peer.hear()
            thread.join()
