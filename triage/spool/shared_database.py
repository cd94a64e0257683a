"""The database of a shared store, for rooms whose rows are of no study: users, sessions, the audit trail.

A room states its SQL and knows neither driver nor connection. Its transactions are its own, and never part of one in
which the store's rows are written: an audit line is committed before what it records is done.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

Value = str | int | float | bool | bytes | list[str] | None
Row = list[object]


class SharedTransaction(Protocol):
    """One open transaction."""

    def run(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement with values for its ``:names`` and return its rows. Raises OSError."""


class SharedDatabase(Protocol):
    """Statements and transactions for the rows of one tenant. Safe to share between threads.

    Every statement has ``:tenant``. Every method raises OSError, with the system's numbers and words of ours.
    """

    @property
    def name(self) -> str:
        """Host, port and database in words, without user and password."""
        ...

    def is_made(self) -> bool:
        """Return whether the tables are there."""
        ...

    def prepare(self) -> None:
        """Make the tables that are missing. Raises SpoolError for a schema of a later release too."""

    def read(self, sql: str, **values: Value) -> list[Row]:
        """Return the rows of a query."""
        ...

    def write(self, sql: str, **values: Value) -> list[Row]:
        """Run one statement, which is committed when this returns."""
        ...

    def transaction(self) -> AbstractContextManager[SharedTransaction]:
        """Begin a transaction that is committed at the end of the block, and undone if it raises."""
        ...
