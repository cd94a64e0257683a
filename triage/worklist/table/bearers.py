"""The studies of the store by digests of their patients' IDs, by an index of the database; nothing is in memory."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event

from triage.spool.tables import Tables
from triage.worklist.table.query import TableQuery

_BEARING = """
SELECT DISTINCT study_uid FROM study_patient
WHERE tenant = :tenant AND partition = :partition AND digest = ANY(CAST(:digests AS text[]))
"""


class PatientTable:
    """``Bearers`` of a store in PostgreSQL."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def catch_up(self, at_most_s: float) -> bool:
        """Return True if all studies are known: False until the sweep has read those of an earlier schema."""
        return TableQuery(self._tables, 0.0).is_complete()

    def bearing(self, digests: Iterable[str]) -> set[str]:
        """Return the studies in which one of the IDs was found."""
        return {str(uid) for (uid,) in self._tables.read(_BEARING, digests=sorted(digests))}

    def follow(self, stopping: Event) -> None:
        """Return: nothing is in memory."""
