"""Listening sockets."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from triage.errors import StartError, cause

_BACKLOG = 512


def open_port(host: str, port: int, shared: bool, setting: str = "listener.port") -> socket.socket:
    """Return a listening socket. Other processes may share it only if ``shared``; else a second service is refused.

    Raises StartError that names the ``setting``.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as undo:
            listening = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
            listening.bind((host, port))
            listening.listen(_BACKLOG)
            listening.setblocking(False)  # another process may accept the connection first
            undo.pop_all()
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {cause(error)}; see {setting}") from error
    return listening


def listen(host: str, port: int, remedy: str = "set TRIAGE_WEB_PORT") -> socket.socket:
    """Return a listening socket. Raises StartError with the remedy if the address is not available."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise StartError(
            f"web: cannot listen on {host}:{port} ({cause(error)}): end what listens there, or {remedy}"
        ) from error
    # Connections inherit it. asyncio does not set it on a socket that it did not make itself, and then the body of a
    # response waits 40 ms for the client to acknowledge its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
