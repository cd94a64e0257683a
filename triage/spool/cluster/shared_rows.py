"""The rows of one tenant that are of no study, by sessions of their own; see ``SharedDatabase``."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from triage.spool.cluster.address import ClusterAddress, DatabaseAddress
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.pool import ConnectionPool
from triage.spool.cluster.schema import upgrade
from triage.spool.cluster.transactions import Database, Transaction
from triage.spool.tables import Row, Value

_MADE = "SELECT to_regclass('audit_line') IS NOT NULL"


class _NoLease:
    """Stands for the leases of a process: what is written here needs none."""

    def check_before_read(self) -> None:
        """Do nothing."""

    def hold(self, connection: Connection) -> None:
        """Do nothing."""


class _TenantTransaction:
    """A transaction in which every statement has ``:tenant``."""

    def __init__(self, transaction: Transaction, tenant: str) -> None:
        self._transaction, self._tenant = transaction, tenant

    def run(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement."""
        return self._transaction.run(sql, tenant=self._tenant, **values)


class SharedRows:
    """The rows of one tenant."""

    def __init__(self, address: DatabaseAddress, tenant: str) -> None:
        self._address, self._tenant = address, tenant
        pool = ConnectionPool(address)
        self._database = Database(address, pool, _NoLease())
        weakref.finalize(self, pool.close)

    @property
    def name(self) -> str:
        """The address, without user and password."""
        return self._address.name

    def is_made(self) -> bool:
        """Return whether the tables are there."""
        return self._database.read(_MADE) == [[True]]

    def prepare(self) -> None:
        """Make the tables that are missing."""
        if not self.is_made():
            upgrade(self._address)

    def read(self, sql: str, **values: Value) -> list[Row]:
        """Return the rows of a query."""
        return self._database.read(sql, tenant=self._tenant, **values)

    def write(self, sql: str, **values: Value) -> list[Row]:
        """Run one statement in a transaction of its own."""
        with self.transaction() as transaction:
            return transaction.run(sql, **values)

    @contextmanager
    def transaction(self) -> Iterator[_TenantTransaction]:
        """Begin a transaction."""
        with self._database.apart() as transaction:
            yield _TenantTransaction(transaction, self._tenant)


def shared_rows(address: ClusterAddress) -> SharedRows:
    """Return the rows of the store at an address. Nothing is connected yet."""
    return SharedRows(address.database, address.tenant)
