"""Exchanges with an S3 store over HTTP/1.1: each ends by its deadline, and connections are used again.

Nothing but the endpoint is connected to: no proxy of the environment, no redirect, no look-up of keys at a metadata
address (docs/adr/0074).
"""

from __future__ import annotations

import errno
import http.client
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from triage.runtime.deadline import broken_off_after
from triage.runtime.http_request import HttpsConnection
from triage.spool.cluster.s3_faults import S3Answer, fault_of_exchange

_MOST_IDLE = 8


class StaleConnectionError(Exception):
    """A connection that was used before had ended when it was used again: nothing is known of the store."""


class Endpoint:
    """The connections to one endpoint, for all threads. A forked child opens its own."""

    def __init__(self, url: str, timeout_s: float, ca_file: Path | None) -> None:
        """Prepare. ``timeout_s`` is for one wait on a socket. ``ca_file``: PEM; None: the system's authorities.

        Raises OSError for a file that cannot be read.
        """
        parts = urlsplit(url)
        self.host = parts.netloc
        self._name, self._port, self._timeout_s = parts.hostname or "", parts.port, timeout_s
        self._context = _trusting(ca_file) if parts.scheme == "https" else None
        self._process = os.getpid()
        self._idle: deque[http.client.HTTPConnection] = deque()

    def exchange(
        self, method: str, target: str, headers: dict[str, str], body: Iterable[bytes], timeout_s: float
    ) -> S3Answer:
        """Send a request, and return the answer. Raises OSError; StaleConnectionError where nothing was answered."""
        connection, used_before = self._take()
        sockets: list[socket.socket | None] = []
        with self._ended_in_time(connection, sockets, timeout_s, used_before) as late:
            _send(connection, method, target, headers, body)
            sockets.append(connection.sock)  # http.client forgets it where the answer ends with the connection
            response = connection.getresponse()
            said = {name.lower(): value for name, value in response.getheaders()}
            answer = S3Answer(response.status, said, response.read())
            if late():  # a connection that was shut down looks like the end of a body without a length
                raise TimeoutError
            if response.will_close:
                connection.close()
            else:
                self._give_back(connection)
        return answer

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it was used before."""
        if self._process != os.getpid():  # the parent's sockets are the parent's
            self._idle, self._process = deque(), os.getpid()
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                connection = self._idle.pop()
                if _is_open(connection):
                    return connection, True
                connection.close()
        return self._connection(), False

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return HttpsConnection(self._name, self._port, self._timeout_s, self._context)
        return http.client.HTTPConnection(self._name, self._port, timeout=self._timeout_s)

    @contextmanager
    def _ended_in_time(
        self,
        connection: http.client.HTTPConnection,
        sockets: list[socket.socket | None],
        timeout_s: float,
        used_before: bool,
    ) -> Iterator[Callable[[], bool]]:
        """End the exchange by its deadline, and its connection with every error."""
        with broken_off_after(timeout_s, lambda: (connection.sock, *sockets)) as late:
            try:
                yield late
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError | http.client.HTTPException):
                    raise
                if used_before and isinstance(error, ConnectionError) and not late():
                    raise StaleConnectionError from error
                raise fault_of_exchange(error, late(), self.host) from error


def _send(
    connection: http.client.HTTPConnection, method: str, target: str, headers: dict[str, str], body: Iterable[bytes]
) -> None:
    """Send a request. A store that answers before it has taken the body is listened to."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    with suppress(BrokenPipeError, ConnectionResetError):
        for block in body:
            connection.send(block)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        number = errno.EINVAL if isinstance(error, ssl.SSLError) else error.errno or errno.EIO
        raise OSError(number, f"the file of authorities {ca_file} cannot be read: {os.strerror(number)}") from error


def _is_open(connection: http.client.HTTPConnection) -> bool:
    """Return whether an idle connection is still open: one that can be read has ended, or says what no one asked."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)
