"""The transactions of the threads of one process, and statements outside of them."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.commit import commit
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.pool import ConnectionPool
from triage.spool.tables import Row, Value


class Fence(Protocol):
    """The leases that a process holds, without which it must not act."""

    def check_before_read(self) -> None:
        """Raise OSError (ESTALE) if a lease was lost. Asks the database only if a deadline has passed."""

    def hold(self, connection: Connection) -> None:
        """Keep the leases from being taken until the session's transaction ends. Raises OSError (ESTALE) if one was."""


class Transaction:
    """Transactions of one thread on one session, one after another. Begun by a statement, ended by ``commit``.

    A session that is lost takes the open transaction with it: every further statement fails, and none is run in
    another session, where the first half of a batch is missing.
    """

    def __init__(self, pool: ConnectionPool, fence: Fence, commit_timeout_s: float) -> None:
        self._pool, self._fence, self._commit_timeout_s = pool, fence, commit_timeout_s
        self._connection: Connection | None = None
        self._begun = self._failed = False
        self._depth = 0
        self.afterwards: list[Callable[[], None]] = []
        """What is to be done once all of it is committed."""

    def run(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement in the open transaction, begun if there is none. Raises OSError."""
        connection = self._begin()
        try:
            return connection.run(sql, **values)
        except OSError:
            self._failed = True
            raise

    def commit(self) -> None:
        """End the open transaction. Raises OSError if that is not confirmed, or if a statement of it failed."""
        if not self._begun:
            return
        assert self._connection is not None
        self._connection.check_open()
        if self._failed:  # COMMIT would roll it back, and say nothing
            raise OSError(errno.EIO, "a statement of this transaction failed: nothing of it is written")
        self._failed = True
        commit(self._connection, self._pool, self._commit_timeout_s)
        self._begun = self._failed = False

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote, and nothing else, if it raises."""
        name, before = f"s{self._depth}", len(self.afterwards)
        self._command(f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
            self._command(f"RELEASE SAVEPOINT {name}")
        except BaseException:
            del self.afterwards[before:]
            self._undo(name)
            raise
        finally:
            self._depth -= 1

    def close(self) -> None:
        """Undo what is not committed, and give the session back. Never raises."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._begun:
            try:
                connection.command("ROLLBACK")
            except OSError:
                connection.broken = True
        self._pool.give_back(connection)

    def _begin(self) -> Connection:
        if self._connection is None:
            self._connection = self._pool.borrow()
        if not self._begun:
            try:
                self._connection.command("BEGIN")
                self._fence.hold(self._connection)
            except OSError:
                self._connection.broken = True
                raise
            self._begun = True
        return self._connection

    def _command(self, sql: str) -> None:
        connection = self._begin()
        try:
            connection.command(sql)
        except OSError:
            self._failed = True
            raise

    def _undo(self, savepoint: str) -> None:
        connection = self._begin()
        try:
            connection.command(f"ROLLBACK TO SAVEPOINT {savepoint}")
        except OSError:  # the session is gone: the transaction fails as a whole
            self._failed = True
        else:
            self._failed = False


class Database:
    """Statements and transactions. Safe to share between threads: each has a transaction of its own, or none."""

    def __init__(self, address: DatabaseAddress, pool: ConnectionPool, fence: Fence) -> None:
        self._address, self._pool, self._fence = address, pool, fence
        self._threads = threading.local()

    def read(self, sql: str, **values: Value) -> list[Row]:
        """Return the rows of a query: in the thread's transaction, or by itself. Raises OSError."""
        self._fence.check_before_read()
        if (current := self.current()) is not None:
            return current.run(sql, **values)
        connection = self._pool.borrow()
        try:
            return connection.run(sql, **values)
        finally:
            self._pool.give_back(connection)

    def write(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement in the thread's transaction, or in one of its own. Raises OSError."""
        with self.transaction() as transaction:
            return transaction.run(sql, **values)

    def current(self) -> Transaction | None:
        """Return the thread's transaction; None outside of one."""
        return getattr(self._threads, "transaction", None)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Join the thread's transaction; outside of one, begin one that is committed at the end of the block."""
        if (current := self.current()) is not None:
            yield current
            return
        with self.apart() as transaction:
            yield transaction

    @contextmanager
    def apart(self) -> Iterator[Transaction]:
        """Begin a transaction that is committed at the end of the block, also within another one of the thread.

        What is to be done afterwards is done then, and its errors are raised: what was written stays.
        """
        outer = self.current()
        transaction = Transaction(self._pool, self._fence, self._address.commit_timeout_s)
        self._threads.transaction = transaction
        try:
            yield transaction
            transaction.commit()
        finally:
            self._threads.transaction = outer
            transaction.close()
        for act in transaction.afterwards:
            act()
