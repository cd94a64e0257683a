"""The tables of the worklist, for its room; see ``Tables``."""

from __future__ import annotations

from triage.spool.cluster.rows import Rows
from triage.spool.tables import Row, Value


class ListTables(Rows):
    """Statements of the worklist's room on the rows of one store."""

    def read(self, sql: str, **values: Value) -> list[Row]:
        """Return the rows of a query: in the thread's transaction, or by itself."""
        return self._read(sql, **values)

    def write(self, sql: str, **values: Value) -> list[Row]:
        """Run a statement in the thread's transaction, or in one of its own."""
        return self._write(sql, **values)

    def list_changes(self) -> int:
        """Return a number that is another one after each change of the list that was announced to this process."""
        return self._engines.announcements.count(f"{self._scope.tenant}/{self._scope.partition}")

    def is_listening(self) -> bool:
        """Return whether each change is announced to this process now."""
        return self._engines.announcements.is_listening
