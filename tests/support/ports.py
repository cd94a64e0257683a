"""Free TCP ports for servers of tests."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack


def free_port() -> int:
    """A free TCP port; see ``free_ports``."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of ``count`` consecutive free TCP ports, below those that the kernel gives to whoever connects.

    One of those may be another connection's own by the time that a server binds it.
    """
    for _ in range(1000):
        first = random.randrange(20000, 32000)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
                return first
        except OSError:
            continue
    raise AssertionError(f"no {count} free ports in a row")
