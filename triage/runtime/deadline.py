"""A deadline for an exchange over sockets, whatever the peer does.

The time limit of a socket is for each read: a peer that sends a byte now and then never exceeds it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

_AGAIN_S = 0.1  # a connection may be new


@contextmanager
def broken_off_after(
    timeout_s: float, sockets: Callable[[], Iterable[socket.socket | None]]
) -> Iterator[Callable[[], bool]]:
    """Shut down ``sockets()`` after ``timeout_s`` seconds, for as long as the context is open.

    Yield a function that returns True from then on: a connection that was shut down looks like one that ended.
    """
    deadline, over = time.monotonic() + timeout_s, threading.Event()

    def break_off() -> None:
        if over.wait(timeout_s):
            return
        while not over.wait(_AGAIN_S):
            for each in sockets():
                if each is not None:
                    with suppress(OSError):
                        socket.socket.shutdown(each, socket.SHUT_RDWR)  # not TLS: another thread uses it

    watching = threading.Thread(target=break_off, name="deadline", daemon=True)
    watching.start()
    try:
        yield lambda: time.monotonic() >= deadline
    finally:
        over.set()
        watching.join()
