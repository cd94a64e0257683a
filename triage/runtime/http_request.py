"""One HTTP request to a peer, that is over by a deadline, whatever the peer does."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_LARGEST_BODY = 1 << 16  # bytes: nobody reads more of an answer


class PeerError(OSError):
    """A peer that was not reached, or did not answer, in time; the message names no address."""


@dataclass(frozen=True)
class HttpResponse:
    """A status and the beginning of a body."""

    status: int
    body: bytes


class HttpPeer:
    """A connection to the server of ``url``. Each step on it takes ``timeout_s`` seconds at most, all in all.

    A time limit on each read, as ``http.client`` has it, never ends for a peer that sends a byte now and then.
    """

    def __init__(self, url: str, timeout_s: float, context: ssl.SSLContext | None = None) -> None:
        """``context`` is for https; by default the system's authorities are believed."""
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        # http.client forgets the socket of an answer that ends with the connection, and reads on from it.
        self._asked_on: socket.socket | None = None
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = _Https(parts.hostname or "", parts.port, timeout_s, context)
        else:
            self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def connect(self) -> None:
        """Connect now. Raises PeerError."""
        with self._over_in_time():
            self._connection.connect()

    def ask(self, method: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send a request, and read what it is answered. Raises PeerError.

        What counts is the status: a body that does not end in time, or is long, is cut.
        """
        with self._over_in_time() as late:
            self._connection.request(method, self._target, body, dict(headers or {}))
            self._asked_on = self._connection.sock
            answer = self._connection.getresponse()
            if late():  # what we have broken off looks like the end of the headers
                raise TimeoutError
            content = b""
            with suppress(OSError, http.client.HTTPException):
                content = answer.read(_LARGEST_BODY)
            if not answer.isclosed():  # more of it would be taken for the next answer
                self._connection.close()
            return HttpResponse(answer.status, content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _over_in_time(self) -> Iterator[Callable[[], bool]]:
        deadline, over = time.monotonic() + self._timeout_s, threading.Event()

        def late() -> bool:
            return time.monotonic() >= deadline

        watching = threading.Thread(target=self._break_off, args=(over,), name="http deadline", daemon=True)
        watching.start()
        try:
            yield late
        except (OSError, UnicodeError, http.client.HTTPException) as error:  # UnicodeError: a name that cannot be one
            self._connection.close()
            raise PeerError("TimeoutError" if late() else type(error).__name__) from error
        finally:
            over.set()
            watching.join()

    def _break_off(self, over: threading.Event) -> None:
        if over.wait(self._timeout_s):
            return
        while not over.wait(0.1):  # a connection may have been made anew just now
            for sock in (self._connection.sock, self._asked_on):
                if sock is not None:
                    with suppress(OSError):
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the descriptor alone: TLS is another's


class _Https(http.client.HTTPSConnection):
    """http.client's, whose socket is known while the handshake goes on, so that it can be broken off."""

    def __init__(self, host: str, port: int | None, timeout_s: float, context: ssl.SSLContext | None) -> None:
        self._own_context = context or ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._own_context)

    def connect(self) -> None:
        """Connect, and shake hands."""
        http.client.HTTPConnection.connect(self)
        secured = self._own_context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = secured
        secured.do_handshake()


def ask_once(url: str, timeout_s: float) -> HttpResponse:
    """GET ``url``, through no proxy that the environment names. Raises PeerError."""
    peer = HttpPeer(url, timeout_s)
    try:
        return peer.ask("GET")
    finally:
        peer.close()
