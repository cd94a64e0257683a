"""The events of paging in memory and in their files, and the pages of the last hour.

Memory goes first: a disk that is full stops no page, and what could not be written is tried again. A page may then be
repeated after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from triage.errors import cause
from triage.paging.event import PagingEvent, as_of
from triage.paging.rules import within_the_hour
from triage.paging.status import PagingStatus
from triage.paging.store import PagingFiles, SentPage

logger = logging.getLogger(__name__)


class WatchedStudies:
    """The studies that paging watches. Reads their files once. Raises OSError."""

    def __init__(self, files: PagingFiles) -> None:
        files.prepare()
        self._files = files
        self._events = files.events()
        self._sent = files.sent()
        self._unsaved: set[str] = set()

    def all(self) -> list[PagingEvent]:
        """Return every event."""
        return list(self._events.values())

    def get(self, study_instance_uid: str) -> PagingEvent | None:
        """Return the event of a study; None if it is not watched."""
        return self._events.get(study_instance_uid)

    def sent(self) -> Sequence[float]:
        """Return the times of the last pages, in POSIX seconds."""
        return self._sent

    def is_saved(self, study_instance_uid: str) -> bool:
        """Return True if the event of a study, if any, is in its file."""
        return study_instance_uid not in self._unsaved

    def save(self, event: PagingEvent) -> None:
        """Keep a new state of an event."""
        uid = event.study_instance_uid
        if self._events.get(uid) == event and self.is_saved(uid):
            return
        self._events[uid] = event
        if self._written(f"the paging of study {uid}", lambda: self._files.save(event)):
            self._unsaved.discard(uid)
        else:
            self._unsaved.add(uid)

    def save_again(self) -> None:
        """Write what could not be written before."""
        for uid in sorted(self._unsaved):
            self.save(self._events[uid])

    def count_from(self, now: float) -> None:
        """Have every time that a clock which was ahead has noted count from ``now`` (POSIX seconds)."""
        for event in self.all():
            self.save(as_of(event, now))
        if any(each > now for each in self._sent):
            self._sent = within_the_hour(self._sent, now)
            self._written("the pages of the hour", lambda: self._files.save_sent(self._sent))

    def close(self, study_instance_uid: str) -> None:
        """Forget an event that is over."""
        self._written(f"the end of the paging of study {study_instance_uid}", lambda: self._remove(study_instance_uid))
        self._events.pop(study_instance_uid, None)
        self._unsaved.discard(study_instance_uid)

    def add_sent(self, event: PagingEvent, page: SentPage, now: float) -> None:
        """Note a page that arrived, and count it; what is older than an hour counts no longer."""
        self._written("a page that arrived", lambda: self._files.note_page(event, page))
        self._sent = [*within_the_hour(self._sent, now), page.at]
        self._written("the pages of the hour", lambda: self._files.save_sent(self._sent))

    def save_status(self, status: PagingStatus) -> bool:
        """Write the state for people, and return True if that worked."""
        return self._written("the state", lambda: self._files.save_status(status))

    def _remove(self, study_instance_uid: str) -> None:
        self._files.close(study_instance_uid)

    def _written(self, what: str, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as error:
            logger.error("paging: %s cannot be written (%s): it is tried again", what, cause(error))
            return False
        return True
