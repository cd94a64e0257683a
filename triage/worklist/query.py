"""The one interface by which the list is read: page, order, filter and search. Another store can implement it.

``IndexedQuery`` (indexed_query.py) does with the index in Redis and the files of the spool.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Protocol

from triage.worklist.index_state import FirstToRead
from triage.worklist.list_filter import EVERYTHING, ListFilter
from triage.worklist.list_order import Sort
from triage.worklist.listed_study import ListedStudy


@dataclass(frozen=True)
class ListRequest:
    """A page of the list of unread studies.

    Args:
        limit: the number of studies.
        cursor: that of the page before; None starts at the top.
        sort: order by a column; None is the reading order.
        filter: conditions of the studies.
        text: the patient's name and ID have each of these words, or the accession number, calling AE title or Study
            Instance UID contains the text.
        patient: the patient's name and ID have each of these words.
        number: the accession number, calling AE title or Study Instance UID contains this.
    """

    limit: int = 100
    cursor: str | None = None
    sort: Sort | None = None
    filter: ListFilter = EVERYTHING
    text: str = ""
    patient: str = ""
    number: str = ""

    @property
    def is_whole_list(self) -> bool:
        """True if no study is left out."""
        return self.filter == EVERYTHING and not (self.text or self.patient or self.number)


@dataclass(frozen=True)
class ListPage:
    """A page of the list.

    ``next_cursor`` is None on the last page. ``complete``: False while the list is being rebuilt, and while not all
    studies were searched, filtered or sorted by what their images state. ``matching``: the number of studies on all
    pages. ``first``: the studies that come first, of the whole list; ``outside``: those of them that match not.
    """

    studies: tuple[ListedStudy, ...]
    next_cursor: str | None
    complete: bool
    matching: int
    first: FirstToRead
    outside: FirstToRead


@dataclass(frozen=True)
class Choices:
    """Values that the unread studies have now, to choose a filter of; each sorted."""

    senders: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


class WorklistQuery(Protocol):
    """Reads the list. Methods raise RedisError, or the like of another store, if it does not respond."""

    def page(self, request: ListRequest, now: float) -> ListPage:
        """Return a page of the unread studies at ``now`` (POSIX seconds). Raises BadCursorError."""
        ...

    def last_read(self, limit: int) -> tuple[ListedStudy, ...]:
        """Return the studies that were read last, the last one first."""
        ...

    def choices(self) -> Choices:
        """Return what the unread studies can be filtered by."""
        ...

    def follow(self, stopping: Event) -> None:
        """Keep what is in memory like the list until ``stopping``; return at once if nothing is."""
        ...
