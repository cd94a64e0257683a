"""Numbers of the list that are kept until it changes: counting grows with the list, which pages do not."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from triage.spool.tables import Tables

_KEPT = 64  # filters and searches whose numbers are kept

Counts = tuple[int, ...]


class KeptNumbers:
    """Numbers by what they are of. Safe to share between threads.

    They are kept only while each change is announced to this process, and are as old as an announcement takes: the page
    that shows them is told of the same change next.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._lock = Lock()
        self._kept: dict[str, Counts] = {}
        self._changes = -1

    def of(self, what: str, count: Callable[[], Counts]) -> Counts:
        """Return what ``count`` returned since the last change, else what it returns now."""
        changes = self._tables.list_changes()
        if not self._tables.is_listening():
            return count()
        with self._lock:
            if changes != self._changes or len(self._kept) >= _KEPT:
                self._kept, self._changes = {}, changes
            if what in self._kept:
                return self._kept[what]
        counted = count()
        with self._lock:
            if changes == self._changes:  # else it may have been counted before a change
                self._kept[what] = counted
        return counted
