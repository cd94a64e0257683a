"""The sessions of one process: one for each thread that is at work, a few kept for the next."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import APPLICATION, Connection

_Owner = TypeVar("_Owner")

_IDLE = 8
"""Sessions that are kept. More are opened while more threads are at work: the server's limit is the limit."""


class ConnectionPool:
    """Open sessions of a database. Safe to share between threads; a forked child begins with none."""

    def __init__(self, address: DatabaseAddress, named_by: ConnectionPool | None = None) -> None:
        """Connect to nothing yet. ``named_by``: another pool of this process, whose name its sessions have too."""
        self._address, self._named_by = address, named_by
        self._process = _name_of_this_process()
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        around_fork(self, lambda _: None, lambda _: None, ConnectionPool._abandon)

    @property
    def process(self) -> str:
        """The name of this process's sessions at the server, which no other process has."""
        return self._named_by.process if self._named_by else self._process

    def borrow(self) -> Connection:
        """Return a session for one thread, which gives it back. Raises OSError."""
        while (kept := self._kept()) is not None:
            if kept.is_quiet():
                return kept
            self._close(kept)  # the server has ended it: a restart, an administrator
        connection = Connection(self._address, self.process)
        with self._lock:
            self._open.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take a session back that is in no transaction. Never raises."""
        with self._lock:
            if not connection.broken and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        self._close(connection)

    def close(self) -> None:
        """End all idle sessions."""
        while (kept := self._kept()) is not None:
            self._close(kept)

    def _kept(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _close(self, connection: Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _abandon(self) -> None:
        self._lock, self._process = threading.Lock(), _name_of_this_process()
        for connection in self._open:
            connection.abandon()
        self._open, self._idle = set(), []


def host_of(process: str) -> str:
    """Return the host in the name of a process; empty for a name of another form."""
    words = process.split()
    return words[1] if len(words) == 4 else ""


def _name_of_this_process() -> str:
    """Return program, host, process ID and a random part: within the 63 bytes that the server keeps."""
    host = "".join(socket.gethostname().split())[:36] or "-"
    return f"{APPLICATION} {host} {os.getpid()} {uuid4().hex[:6]}"


def around_fork(
    owner: _Owner,
    before: Callable[[_Owner], None],
    in_parent: Callable[[_Owner], None],
    in_child: Callable[[_Owner], None],
) -> None:
    """Have ``before`` called at each fork of this process, then ``in_parent`` and ``in_child``, while ``owner`` is."""
    known = weakref.ref(owner)

    def calling(act: Callable[[_Owner], None]) -> Callable[[], None]:
        def run() -> None:
            if (found := known()) is not None:
                act(found)

        return run

    os.register_at_fork(before=calling(before), after_in_parent=calling(in_parent), after_in_child=calling(in_child))
