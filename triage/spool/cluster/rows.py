"""The rows of one tenant and partition: the base of everything that a store in a database reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.announcements import Announcements
from triage.spool.cluster.bucket import Bucket
from triage.spool.cluster.leases import Leases
from triage.spool.cluster.pool import ConnectionPool
from triage.spool.cluster.transactions import Database
from triage.spool.tables import Row, Value

PAGE = 1000
"""Rows that are read at a time where there may be many, so that no session is kept while others work on them."""


@dataclass(frozen=True)
class Scope:
    """The owner of rows: a tenant, and the partition of its store (empty: the store itself)."""

    tenant: str
    partition: str = ""

    def inner(self, name: str) -> Scope:
        """Return the scope of a partition of this one."""
        return Scope(self.tenant, f"{self.partition}/{name}" if self.partition else name)

    @property
    def folder(self) -> str:
        """The first words of the keys of its objects."""
        return f"{self.tenant}/{self.partition.replace('/', '+') or 'main'}"


class Engines:
    """The connections of one process: to the database and to the bucket, shared by the partitions of its store."""

    def __init__(self, address: ClusterAddress, bucket: Bucket) -> None:
        """Nothing is connected yet."""
        self.address, self.bucket = address, bucket
        self.pool = ConnectionPool(address.database)
        # A server without a connection left for our work must not end our leases too: they keep a session of their own.
        self._of_leases = ConnectionPool(address.database, named_by=self.pool)
        self.leases = Leases(self._of_leases, address.lease_s)
        self.database = Database(address.database, self.pool, self.leases)
        self.announcements = Announcements(self.pool)

    def close(self) -> None:
        """End the session that listens, and the idle ones."""
        self.announcements.close()
        self.pool.close()
        self._of_leases.close()

    @property
    def scratch(self) -> Path:
        """The folder of this machine for parts of objects."""
        return self.address.scratch


class Rows:
    """The rows of one scope. Every statement has ``:tenant`` and ``:partition``."""

    def __init__(self, engines: Engines, scope: Scope) -> None:
        self._engines, self._scope, self._database = engines, scope, engines.database

    def _read(self, sql: str, **values: Value) -> list[Row]:
        return self._database.read(sql, tenant=self._scope.tenant, partition=self._scope.partition, **values)

    def _write(self, sql: str, **values: Value) -> list[Row]:
        return self._database.write(sql, tenant=self._scope.tenant, partition=self._scope.partition, **values)

    def _pages(self, sql: str, behind: Callable[[Row], dict[str, Value]], **first: Value) -> Iterator[Row]:
        """Yield the rows of a query with ``:page``, page by page; ``behind`` returns where the next begins."""
        values = first
        while rows := self._read(sql, page=PAGE, **values):
            yield from rows
            values = {**first, **behind(rows[-1])}
