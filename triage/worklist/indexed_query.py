"""The list by the index in Redis and the files of the spool.

The whole list in reading order is a range of the index, as quick at any depth. Other orders, filters and searches are
selected from a copy in this process's memory, with what the studies' files state of patients and images: neither is in
Redis.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import attrgetter

from redis.exceptions import RedisError

from triage.decision.types import TriageDecision
from triage.errors import cause
from triage.spool.store import Store
from triage.worklist.facts_index import FactsIndex
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_state import FirstToRead
from triage.worklist.list_selection import Moment, Selection, select
from triage.worklist.listed_study import ListedStudy
from triage.worklist.query import Choices, ListPage, ListRequest
from triage.worklist.study_table import StudyTable

logger = logging.getLogger(__name__)

_AT_MOST_S = 2.0
_PAUSE_S = 0.05
_FOLLOW_EVERY_S = 2.0
_WITHOUT_REDIS_S = _WITHOUT_STORE_S = 5.0
_SELECTIONS = 16  # orders and filters that are kept until the list changes


class IndexedQuery:
    """A ``WorklistQuery``. ``waiting_cap_s``: waiting cap in seconds, 0 for none. Safe to share between threads."""

    def __init__(
        self, index: IndexedWorklist, spool: Store, waiting_cap_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._waiting_cap_s = waiting_cap_s
        self._facts = FactsIndex(spool, clock)
        self._table = StudyTable(index, clock)
        self._reading = threading.Lock()
        self._studies: dict[str, ListedStudy] = {}
        self._by_arrival: list[ListedStudy] | None = []  # None: to be made when it is asked for
        self._selections: dict[tuple[ListRequest, Moment], Selection] = {}

    def page(self, request: ListRequest, now: float) -> ListPage:
        """Return a page of the unread studies at ``now`` (POSIX seconds). Raises BadCursorError, RedisError."""
        return self._of_index(request, now) if self._is_in_index(request) else self._of_memory(request, now)

    def last_read(self, limit: int) -> tuple[ListedStudy, ...]:
        """Return the studies that were read last, the last one first. Raises RedisError."""
        return tuple(self._with_newest_facts(self._index.last_read(limit)))

    def choices(self) -> Choices:
        """Return what the unread studies can be filtered by. Raises RedisError."""
        with self._reading:
            self._catch_up(_PAUSE_S)
            studies = tuple(self._studies.values())
        return Choices(
            tuple(sorted({each.decision.calling_ae_title for each in studies} - {""})),
            tuple(sorted({view for each in studies for view in each.facts.view.split(", ")} - {""})),
        )

    def follow(self, stopping: threading.Event) -> None:
        """Keep the memory like the index until ``stopping``, in small steps between which requests can run.

        What retention removed is forgotten within two seconds, whether or not the list is looked at.
        """
        while not stopping.is_set():
            try:
                stopping.wait(_FOLLOW_EVERY_S if self.catch_up(_PAUSE_S) else _PAUSE_S)
            except RedisError:
                stopping.wait(_WITHOUT_REDIS_S)
            except OSError as error:
                logger.error("the patients of listed studies cannot be read: %s", cause(error))
                stopping.wait(_WITHOUT_STORE_S)

    def catch_up(self, at_most_s: float) -> bool:
        """Read further studies for at most ``at_most_s`` seconds; return True if all are known.

        Raises RedisError and OSError.
        """
        with self._reading:
            return self._catch_up(at_most_s)

    def _catch_up(self, at_most_s: float) -> bool:
        self._table.refresh()
        listed = self._table.decisions
        complete = self._facts.follow(listed.keys(), self._table.version, at_most_s)
        self._facts.keep_only(listed.keys(), self._table.version)
        if changed := [*_taken(self._table.changed), *_taken(self._facts.changed)]:
            for uid in changed:
                self._studies.pop(uid, None)
                if uid in listed:
                    self._studies[uid] = ListedStudy(listed[uid], self._facts.of(uid))
            self._by_arrival = None
            self._selections.clear()  # also, so that no patient is kept there who was removed
        return complete

    @staticmethod
    def _is_in_index(request: ListRequest) -> bool:
        return request.is_whole_list and request.sort is None

    def _of_index(self, request: ListRequest, now: float) -> ListPage:
        page = self._index.page(request.cursor, request.limit, now, self._waiting_cap_s)
        return ListPage(
            tuple(self._with_newest_facts(page.entries)),
            page.next_cursor,
            complete=self._index.is_built() and not page.skipped,
            matching=self._index.count(),
            first=self._index.state.first_to_read(now, self._waiting_cap_s),
            outside=FirstToRead(),
        )

    def _of_memory(self, request: ListRequest, now: float) -> ListPage:
        moment = Moment.of(request, now, self._waiting_cap_s)
        with self._reading:
            known = self._catch_up(_AT_MOST_S)
            found = self._selected(request, moment)
            first = self._index.state.first_to_read(now, self._waiting_cap_s)
            complete = known and self._table.is_whole and self._index.is_built()
        studies, cursor = found.page(request, moment)
        page = tuple(self._with_newest_facts(each.decision for each in studies))
        return ListPage(page, cursor, complete, len(found.studies), first, first.without(found.first))

    def _selected(self, request: ListRequest, moment: Moment) -> Selection:
        """Return the selection of a request: that of the page before, unless anything changed."""
        key = (replace(request, cursor=None, limit=1), moment)
        if key not in self._selections:
            if len(self._selections) >= _SELECTIONS:
                self._selections.clear()
            if self._by_arrival is None:
                self._by_arrival = sorted(self._studies.values(), key=attrgetter("arrival"))
            self._selections[key] = select(self._by_arrival, request, moment)
        return self._selections[key]

    def _with_newest_facts(self, decisions: Iterable[TriageDecision]) -> Iterator[ListedStudy]:
        return (ListedStudy(decision, self._facts.newest(decision.study_instance_uid)) for decision in decisions)


def _taken(studies: set[str]) -> Iterator[str]:
    """Take the studies out of a set, to which another thread may add meanwhile."""
    while studies:
        yield studies.pop()
