"""Have a connection that is given up take its unacknowledged bytes with it.

A socket that is closed in order leaves them to the kernel, which goes on sending for a quarter of an hour: after a cut
they arrive behind what was sent over the next connection meanwhile, an older result behind a newer one.
"""

from __future__ import annotations

import math
import socket
import struct
from contextlib import suppress

_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)  # RFC 5482; of Linux alone
_LINGER = struct.Struct("ii")  # on or off, and the seconds that a close waits for an acknowledgement


def begin_exchange(connected: socket.socket, timeout_s: float) -> None:
    """Have ``connected`` reset when it is closed, also by the end of this process, until ``end_exchange``.

    What the peer's system does not acknowledge for ``timeout_s`` ends the connection: this process may stand still.
    """
    _reset_on_close(connected, on=True)
    if _USER_TIMEOUT is not None:
        with suppress(OSError):  # a connection that is gone says so where it is used
            connected.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, math.ceil(timeout_s * 1000))


def end_exchange(connected: socket.socket) -> None:
    """Have ``connected`` close in order again: the peer has answered what was sent."""
    _reset_on_close(connected, on=False)


def _reset_on_close(connected: socket.socket, on: bool) -> None:
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(on, 0))
