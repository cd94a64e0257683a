"""Have the kernel acknowledge at once what a peer has sent."""

from __future__ import annotations

import socket
from contextlib import suppress

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # of Linux alone


def acknowledge_now(connected: socket.socket) -> None:
    """Have the kernel acknowledge what has arrived, before a read that waits for the rest of a message.

    A peer that sends a message in several small writes sends the second only when the first is acknowledged (RFC 896),
    and Linux puts that off for 40 ms. It forgets the option with the next bytes: set it before each read.
    """
    if _QUICKACK is not None:
        with suppress(OSError):  # a connection that is gone says so where it is read
            connected.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
