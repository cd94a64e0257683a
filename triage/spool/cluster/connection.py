"""One session of PostgreSQL, by the driver pg8000: the one file that knows it."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pg8000.native
from pg8000.exceptions import DatabaseError

from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.sql_errors import DRIVER_ERRORS, as_os_error
from triage.spool.tables import Row, Value

APPLICATION = "cxr-triage"
"""The first word of the name that our sessions have at the server."""

_CONNECT_S = 10.0
_PREPARED = 250
"""Statements that a session keeps prepared: filters and orders of the list make many."""
_ANSWER_S = 5.0
"""Seconds that the answer may take on its way, after the server itself gave a statement up."""
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")

_SETUP = """
SELECT pg_backend_pid(), set_config('synchronous_commit',
  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
"""A server whose COMMIT does not wait for its disk is told to, in our sessions."""


class _Texts(set[str]):
    """Texts of announcements, each once, however many come: the driver itself keeps the last hundred alone."""

    def append(self, announcement: tuple[int, str, str]) -> None:
        """Take an announcement of the driver's: process, channel and text."""
        self.add(announcement[2])


class Connection:
    """A session, for one thread at a time. A statement is prepared once. Every method raises OSError.

    ``broken``: the session is gone, or an error left it in a state that is not known; it is not used again.
    ``database``: the name of its database, which its errors have.
    """

    def __init__(self, address: DatabaseAddress, process: str = APPLICATION) -> None:
        """Connect and sign in. ``process``: the name of the session at the server."""
        self.database = address.name
        self._answer_s = address.statement_timeout_s + _ANSWER_S
        self._prepared: dict[str, pg8000.native.PreparedStatement] = {}
        self.broken = False
        try:
            with session_arguments(address, process) as arguments:
                self._socket: socket.socket = arguments["sock"]
                self._session = pg8000.native.Connection(**arguments)
                self._texts = self._session.notifications = _Texts()
                self._socket.settimeout(self._answer_s)
                ((self.pid, _),) = self._session.run(_SETUP)
        except DRIVER_ERRORS as error:
            raise as_os_error(error, address.name) from error

    def run(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement with values for its ``:names``, and return its rows; none if it has none."""
        self.check_open()
        try:
            return self._statement(sql).run(**values) or []
        except DRIVER_ERRORS as error:
            raise self._failed(error) from error

    def _statement(self, sql: str) -> pg8000.native.PreparedStatement:
        """Return a prepared statement; the one that was prepared first gives way where there are too many."""
        if sql not in self._prepared:
            if len(self._prepared) >= _PREPARED:
                self._prepared.pop(next(iter(self._prepared))).close()
            self._prepared[sql] = self._session.prepare(sql)
        return self._prepared[sql]

    def command(self, sql: str, timeout_s: float | None = None) -> None:
        """Run a command without values: BEGIN, COMMIT, SAVEPOINT. ``timeout_s``: the time to wait for its end."""
        self.check_open()
        try:
            self._socket.settimeout(timeout_s or self._answer_s)
            self._session.run(sql)
            self._socket.settimeout(self._answer_s)
        except DRIVER_ERRORS as error:
            raise self._failed(error) from error

    def warned(self) -> bool:
        """Return whether the server has warned since the last call, as it does where it did not wait for a standby."""
        warned = any(notice.get(b"V") == b"WARNING" for notice in self._session.notices)
        self._session.notices.clear()
        return warned

    def announced(self, wait_s: float, answer_s: float) -> set[str]:
        """Wait up to ``wait_s`` seconds for announcements on channels that the session listens to; return their texts.

        The server is asked for a sign of life, which it has to give within ``answer_s`` seconds.
        """
        self.check_open()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.poll(wait_s * 1000)
        self.command("SELECT 1", answer_s)
        texts = set(self._texts)
        self._texts.clear()
        return texts

    def descriptor(self) -> int:
        """Return the descriptor of its socket."""
        return self._socket.fileno()

    def is_quiet(self) -> bool:
        """Return whether the server has said nothing while the session was idle: it says so when it ends it."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """End the session. Never raises."""
        self.broken = True
        with suppress(*DRIVER_ERRORS):
            self._session.close()
        with suppress(OSError):
            self._socket.close()

    def abandon(self) -> None:
        """Close our copy of the socket and say nothing to the server: the session is the parent process's."""
        self.broken = True
        with suppress(OSError):
            os.close(self._socket.detach())

    def check_open(self) -> None:
        """Raise OSError (ECONNRESET) if the session was lost."""
        if self._socket.fileno() < 0:
            raise OSError(errno.ECONNRESET, "the connection to the database was lost", self.database)

    def _failed(self, error: Exception) -> OSError:
        # After an error of a statement the session goes on, in a transaction that has failed. It is not used for
        # another one: what the error was about (a changed table, a setting) may be of the session.
        if not isinstance(error, DatabaseError):
            self.close()
        self.broken = True
        return as_os_error(error, self.database)


def _connected(address: DatabaseAddress) -> socket.socket:
    connected = socket.create_connection((address.host, address.port), min(_CONNECT_S, address.statement_timeout_s))
    # A host that is gone says nothing: its kernel's silence ends a wait that has no time of its own.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6)):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _with_tls(connected: socket.socket, address: DatabaseAddress) -> socket.socket:
    connected.sendall(_SSL_REQUEST)
    answer = connected.recv(1)
    if not answer:  # as a proxy does that has no server behind it, and a server that is about to end
        raise OSError(errno.ECONNRESET, "it hung up before TLS could begin")
    if answer != b"S":
        raise OSError(errno.EPROTO, "its server speaks no TLS")
    context = ssl.create_default_context(cafile=address.ca_file)
    return context.wrap_socket(connected, server_hostname=address.host)


@contextmanager
def session_arguments(address: DatabaseAddress, process: str = APPLICATION) -> Iterator[dict[str, Any]]:
    """Yield the driver's arguments for a session that is connected now; its socket is closed if the block raises.

    Raises OSError.
    """
    connected = _connected(address)
    try:
        if address.tls:
            connected = _with_tls(connected, address)
        yield {**_arguments(address, connected), "application_name": process}
    except BaseException:
        connected.close()
        raise


def _arguments(address: DatabaseAddress, connected: socket.socket) -> dict[str, Any]:
    statement_ms = str(int(address.statement_timeout_s * 1000))
    return {
        "user": address.user,
        "database": address.database,
        "password": address.password,
        "sock": connected,
        "ssl_context": False,
        "startup_params": {
            "statement_timeout": statement_ms,
            # A process that stops in a transaction loses it, with the locks of its studies.
            "idle_in_transaction_session_timeout": str(2 * int(statement_ms)),
            # The same of a host that is gone.
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "3",
            "client_min_messages": "warning",
            "timezone": "UTC",
        },
    }
