"""A cable to a server that can be cut: bytes that are sent meanwhile wait, and nothing says that they do."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Cable:
    """A port of 127.0.0.1 that leads to another one, while ``whole`` is set."""

    port: int
    to: int
    whole: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        """Pass nothing on, and close nothing."""
        self.whole.clear()

    def mend(self) -> None:
        """Pass everything on, also what came meanwhile."""
        self.whole.set()

    def accept(self, listening: socket.socket) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                accepted, _ = listening.accept()
                threading.Thread(target=self._join, args=(accepted,), daemon=True).start()

    def end(self) -> None:
        self._ended.set()
        self.whole.set()

    def _join(self, one: socket.socket) -> None:
        self.whole.wait()
        with one, suppress(OSError), socket.create_connection(("127.0.0.1", self.to)) as other:
            one.setblocking(True)
            pair = {one: other, other: one}
            with selectors.DefaultSelector() as selector:
                for each in pair:
                    selector.register(each, selectors.EVENT_READ)
                while not self._ended.is_set():
                    for key, _ in selector.select(0.2):
                        self.whole.wait()
                        data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                        if not data:
                            return
                        pair[key.fileobj].sendall(data)  # type: ignore[index]


@contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    """A whole cable to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        cable = Cable(int(listening.getsockname()[1]), port)
        cable.mend()
        thread = threading.Thread(target=cable.accept, args=(listening,))
        thread.start()
        try:
            yield cable
        finally:
            cable.end()
            thread.join(10)
