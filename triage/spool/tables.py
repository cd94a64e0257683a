"""The database of a store, for a room that has tables of its own in it: statements, and what is announced there.

A store of files has none. The tables are made by the store's migrations, and every row has a tenant and a partition.
"""

from __future__ import annotations

import re
from typing import Protocol

Value = str | int | float | bool | bytes | list[str] | None
Row = list[object]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Tables(Protocol):
    """Statements on the rows of one store; ``:tenant`` and ``:partition`` are its own. Methods raise OSError."""

    def read(self, sql: str, **values: Value) -> list[Row]:
        """Return the rows of a query: in the thread's transaction, a study's lock or a batch, or by itself."""

    def write(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement in the thread's transaction, or in one of its own."""

    def list_changes(self) -> int:
        """Return a number that is another one after each change of the list that was announced to this process.

        The first call begins to listen. Without a session that listens it is another one every few seconds.
        """

    def is_listening(self) -> bool:
        """Return whether each change is announced to this process now."""


def storable(text: str) -> str:
    """Return a text without what no text of PostgreSQL can hold: null characters, and halves of characters."""
    return _UNSTORABLE.sub("", text)
