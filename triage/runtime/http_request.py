"""One HTTP request to a peer that ends by a deadline, whatever the peer does."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from triage.dicom.unacknowledged import begin_exchange, end_exchange
from triage.errors import TriageError
from triage.runtime.deadline import broken_off_after

_MAX_BODY = 1 << 16  # bytes; where a status is all that is asked for, the rest of a response is not needed


class PeerError(TriageError, OSError):
    """A peer was not reached, or did not respond, in time. The message has no address."""


@dataclass(frozen=True)
class HttpResponse:
    """One response: its status and the beginning of its body."""

    status: int
    body: bytes


class HttpPeer:
    """A connection to the server of ``url``. Each step on it takes ``timeout_s`` seconds in total at most.

    The time limit of ``http.client`` is for each read: a peer that sends a byte now and then never exceeds it.
    """

    def __init__(
        self, url: str, timeout_s: float, context: ssl.SSLContext | None = None, *, most: int = _MAX_BODY
    ) -> None:
        """Prepare a connection. ``context`` is for https; by default the system's authorities are trusted.

        ``most``: bytes of a response's body that are read; the rest is cut.
        """
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        self._most = most
        # http.client forgets the socket of a response that ends with the connection, and reads on from it.
        self._response_socket: socket.socket | None = None
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = HttpsConnection(parts.hostname or "", parts.port, timeout_s, context)
        else:
            self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def connect(self) -> None:
        """Connect now. Raises PeerError."""
        with self._over_in_time():
            self._connection.connect()

    def ask(self, method: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send a request, and return the response. Raises PeerError.

        A body that does not end in time, or is long, is cut: the status is what matters. A request that is given up
        takes its bytes with it: none arrives later.
        """
        with self._over_in_time() as late:
            connected = self._for_request()
            begin_exchange(connected, self._timeout_s)
            self._connection.request(method, self._target, body, dict(headers or {}))
            response = self._connection.getresponse()
            if late():  # a connection that was shut down looks like the end of the headers
                raise TimeoutError
            end_exchange(connected)
            content = b""
            with suppress(OSError, http.client.HTTPException):
                content = response.read(self._most)
            if not response.isclosed():  # the rest would be read as the next response
                self._connection.close()
            return HttpResponse(response.status, content)

    def _for_request(self) -> socket.socket:
        if self._connection.sock is None:
            self._connection.connect()
        connected: socket.socket = self._connection.sock
        self._response_socket = connected
        return connected

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _over_in_time(self) -> Iterator[Callable[[], bool]]:
        with broken_off_after(self._timeout_s, lambda: (self._connection.sock, self._response_socket)) as late:
            try:
                yield late
            except (OSError, UnicodeError, http.client.HTTPException) as error:  # UnicodeError: an impossible host name
                self._connection.close()
                raise PeerError("TimeoutError" if late() else type(error).__name__) from error


class HttpsConnection(http.client.HTTPSConnection):
    """The connection of http.client with a socket that can be shut down during the handshake."""

    def __init__(self, host: str, port: int | None, timeout_s: float, context: ssl.SSLContext | None) -> None:
        self._own_context = context or ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._own_context)

    def connect(self) -> None:
        """Connect, and do the handshake."""
        http.client.HTTPConnection.connect(self)
        secured = self._own_context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = secured
        secured.do_handshake()


def ask_once(url: str, timeout_s: float) -> HttpResponse:
    """GET ``url`` without proxies. Raises PeerError."""
    peer = HttpPeer(url, timeout_s)
    try:
        return peer.ask("GET")
    finally:
        peer.close()
