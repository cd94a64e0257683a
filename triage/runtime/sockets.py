"""Listening sockets."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from triage.errors import StartError

_BACKLOG = 512


def open_port(host: str, port: int, shared: bool, setting: str = "listener.port") -> socket.socket:
    """A listening socket, which other processes may share only if ``shared``: else a second service would not notice.

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
            listening.setblocking(False)  # another process may take what we saw waiting
            undo.pop_all()
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}; see {setting}") from error
    return listening


def listen(host: str, port: int, remedy: str = "set TRIAGE_WEB_PORT") -> socket.socket:
    """A listening socket; StartError that says what to do if the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise StartError(
            f"web: cannot listen on {host}:{port} ({error.strerror}): end what listens there, or {remedy}"
        ) from error
    # Connections inherit it. asyncio does not set it on a socket that it did not make itself, and then an answer's body
    # waits 40 ms for the client to acknowledge its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
