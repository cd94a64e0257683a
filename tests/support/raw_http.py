"""HTTP spoken by hand, as no library would: silent, slow, ambiguous."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from tests.support.wait import wait_for
from triage.runtime.sockets import listen
from triage.web.http.bounded_protocol import Deadlines
from triage.web.http.connection_limits import Limits
from triage.web.http.serving import server_of

ASK = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@contextmanager
def served(app: ASGIApp, limits: Limits | None = None, deadlines: Deadlines | None = None) -> Iterator[int]:
    """The port at which ``app`` is served."""
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        server = server_of(app, limits, deadlines)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the server")
            yield port
        finally:
            server.should_exit = True
            thread.join()


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection from the address ``source``, of loopback's network."""
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))


def answered(port: int, sent: bytes = ASK, source: str = "127.0.0.1") -> bytes:
    """What comes back until the other end closes."""
    with connected(port, source) as sock:
        sock.sendall(sent)
        return until_end(sock)


def until_end(sock: socket.socket) -> bytes:
    """What is still received; nothing of a connection that was reset."""
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def drain_request(sock: socket.socket) -> None:
    """Read one request to its end: closing on what is unread would reset the answer on its way."""
    received = b""
    while b"\r\n\r\n" not in received and (piece := sock.recv(65536)):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (piece := sock.recv(65536)):
        missing -= len(piece)
