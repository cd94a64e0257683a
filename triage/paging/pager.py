"""The loop of paging: from marks to events, from events to pages, by the rules; one thread of `triage deliver`.

Delivery is at least once. An attempt is counted in the event's file before it is made, and its end is noted after it:
if the process dies in between, the page is sent again, with the same Message-ID, and says that it may be a repetition.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from triage.decision.records import Record, decision_from
from triage.errors import cause
from triage.metrics.paging import PagingMetrics
from triage.paging.cards import InstalledCards
from triage.paging.event import PagingEvent, PendingPage
from triage.paging.facts import SiteTexts, bare_facts, facts_of
from triage.paging.message import Page, page_of
from triage.paging.reader_state import Contact, has_left, reader_state
from triage.paging.rules import PagingRules
from triage.paging.sending import Sending
from triage.paging.status import PagingStatus
from triage.paging.store import PagingFiles, SentPage
from triage.paging.watched_studies import WatchedStudies
from triage.runtime.logs import where_raised
from triage.spool.store import Store

logger = logging.getLogger(__name__)

NAME = "paging of the rota"
"""Name of the loop in logs and readiness; no destination can have it, as it has spaces."""
_STATUS_S = 15.0
_LOOK_AGAIN_S = 60.0
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Composer:
    """Makes the pages of events, from the files of their studies."""

    spool: Store
    cards: InstalledCards
    texts: SiteTexts

    def page(self, event: PagingEvent, now: float, *, repeated: bool, full: int) -> Page:
        """Return the next page of an event, whatever is wrong with its study; see ``PageFacts``."""
        try:
            facts = facts_of(self.spool, self.cards, self.texts, event, now)
        except Exception as error:  # the edge: whatever its files hold, the page is sent
            logger.error("paging: study %s is paged without its result: %s", event.study_instance_uid, _named(error))
            facts = bare_facts(self.texts, event, now)
        return page_of(replace(facts, repeated=repeated, full=full))


@dataclass
class Pager:
    """Pages the rota, study by study. ``sending`` has the clock."""

    spool: Store
    files: PagingFiles
    rules: PagingRules
    composer: Composer
    watched: WatchedStudies
    sending: Sending
    metrics: PagingMetrics
    stopping: Callable[[], bool] = lambda: False
    name: str = NAME
    _held: int = 0
    _room: int = 0
    _looked: dict[str, float] = field(default_factory=dict)
    _told: PagingStatus | None = None

    def round(self) -> None:
        """Take up new decisions, send what is due, and tell the state. Raises OSError if marks cannot be listed."""
        self.watched.save_again()
        for uid in self.files.marked():
            if self.stopping():
                return
            try:
                self._take_up(uid)
            except _UNREADABLE as error:
                logger.error("paging: study %s cannot be taken up (%s): it is tried again", uid, _named(error))
        self._send_due()
        self._tell()

    # From decisions to events.

    def _take_up(self, uid: str) -> None:
        """Begin, go on with, or end the paging of a study that has a new decision."""
        if not self.spool.has_study(uid):  # removed meanwhile; its lock would create it
            self.files.unmark(uid)
            return
        with self.spool.study_lock(uid):  # as the worker does for decision and mark
            record, known = self.spool.decision(uid), self.watched.get(uid)
            if record is not None and self._is_paged(record):
                if known is None or self._was_read(known):
                    self.watched.save(PagingEvent(uid, str(record.get("revision", "")), self._since(record)))
            elif record is not None and known is not None:
                self._close(uid, "its result is not raised any more")
            if self.watched.is_saved(uid):
                self.files.unmark(uid)

    def _is_paged(self, record: Record) -> bool:
        """Return True for a decision that is paged; also for one that cannot be read: a person must know of it."""
        try:
            return self.rules.pages(decision_from(record))
        except (ValueError, KeyError, TypeError):
            return True

    def _since(self, record: Record) -> float:
        """Return when a study was raised; now where its time is of a clock that was ahead."""
        now, tagged_at = self.sending.now(), record.get("tagged_at")
        return min(float(tagged_at), now) if isinstance(tagged_at, int | float) and math.isfinite(tagged_at) else now

    def _was_read(self, event: PagingEvent) -> bool:
        """Return True if the study was read as the decision that began the event: a new one has its full time."""
        return reader_state(self.spool, event.study_instance_uid, event.since).left_as == event.revision

    # From events to pages.

    def _send_due(self) -> None:
        """Send pages on their way first, then of studies that were never paged, then repetitions; each by its time."""
        now = self.sending.now()
        self.watched.count_from(now)
        events = self.watched.all()
        on_way = sum(event.pending is not None for event in events)
        self._held, self._room = 0, self.rules.room(self.watched.sent(), now) - on_way
        due = [(self.rules.due_at(event), event) for event in events if self.rules.due_at(event) <= now]
        for _, event in sorted(due, key=lambda each: (each[1].pending is None, each[1].number > 0, each[0])):
            if self.stopping():
                return
            if event.pending is None and self._room <= 0 and self._was_looked_at(event, now):
                self._held += 1
                continue
            looked_at = self._looked_at(event)
            if looked_at is not None and self.rules.due_at(looked_at) <= self.sending.now():
                self._send(looked_at)

    def _was_looked_at(self, event: PagingEvent, now: float) -> bool:
        """Return True if a study that waits for the cap was looked at lately: there may be thousands of them."""
        last = self._looked.get(event.study_instance_uid)
        if last is not None and 0 <= now - last < _LOOK_AGAIN_S:
            return True
        self._looked[event.study_instance_uid] = now
        return False

    def _looked_at(self, event: PagingEvent) -> PagingEvent | None:
        """Return the event with the last contact of a reader; None if it is over."""
        uid = event.study_instance_uid
        try:
            record = self.spool.decision(uid)
            if record is None and not self.spool.has_study(uid):
                self._close(uid, "it was removed")
                return None
            state = reader_state(self.spool, uid, event.since)
        except _UNREADABLE as error:
            logger.error("paging: the readers of study %s are not known (%s): it is paged", uid, _named(error))
            return event
        if record is not None and has_left(state, record):
            self._close(uid, "it was read, or left the list")
            return None
        return event if state.contact is None else self._met(event, state.contact)

    def _met(self, event: PagingEvent, contact: Contact) -> PagingEvent:
        """Return the event after a contact: the next page has its time from then on, also one that nothing took yet."""
        if contact.at == event.contact_noted:
            return event
        at, arrived = min(contact.at, self.sending.now()), event.pending is not None and event.pending.taken
        met = replace(event, contact=contact.what, contact_at=at, contact_noted=contact.at)
        met = met if arrived else replace(met, pending=None)
        self.watched.save(met)
        return met

    def _send(self, event: PagingEvent) -> None:
        now = self.sending.now()
        rota = self.rules.rota(now)
        if event.pending is None:
            if self._room <= 0:
                self._held += 1
                return
            self._room -= 1
            since = self.rules.due_at(event) if event.unreached_since is None else event.unreached_since
            event = replace(event, pending=PendingPage(event.number + 1, since))
            self.watched.save(event)
        full = self.rules.cap_per_hour if self._room <= 0 else 0
        if not self._is_over(event, rota, now):
            event = self.sending.send(
                event, rota, lambda repeated: self.composer.page(event, now, repeated=repeated, full=full)
            )
        if self._is_over(event, rota, now):
            self._arrived(event, rota)

    def _is_over(self, event: PagingEvent, rota: str, now: float) -> bool:
        """Return True if the pending page has arrived, or if one route took it and the next page is due for it."""
        pending = event.pending
        if pending is None or not pending.taken:
            return False
        return self.sending.has_arrived(event, rota) or min(pending.taken.values()) + self.rules.repeat_s <= now

    def _arrived(self, event: PagingEvent, rota: str) -> None:
        """Note that a page has arrived. The next one has its time from when the first route took it."""
        pending = event.pending
        assert pending is not None
        first = min(pending.taken.values())
        unreached = None if self.sending.has_arrived(event, rota) else pending.since
        page = SentPage(pending.number, first, pending.rota, tuple(sorted(pending.taken)))
        self.watched.add_sent(event, page, self.sending.now())
        done = replace(event, number=pending.number, last_page_at=first, pending=None, unreached_since=unreached)
        self.watched.save(done)
        self.metrics.pages.labels(pending.rota).inc()

    def _close(self, uid: str, why: str) -> None:
        self.watched.close(uid)
        self._looked.pop(uid, None)
        logger.info("paging: study %s is paged no more: %s", uid, why)

    # The state.

    def _tell(self) -> None:
        """Export the state, and write it for people: at a change, and from time to time as a sign of life."""
        status, told = self._status(), self._told
        self._export(status)
        unchanged = told is not None and replace(told, at=status.at) == status
        if (told is None or not unchanged or not 0 <= status.at - told.at < _STATUS_S) and self.watched.save_status(
            status
        ):
            self._told = status

    def _status(self) -> PagingStatus:
        now, events = self.sending.now(), self.watched.all()
        tried = [each.pending for each in events if each.pending is not None]
        if not tried:
            self.sending.why = ""
        return PagingStatus(
            now,
            self.rules.rota(now),
            self.rules.cap_per_hour,
            watched=len(events),
            paged=sum(each.number > 0 for each in events),
            undelivered=len(tried),
            undelivered_since=min((each.since for each in tried), default=None),
            why=self.sending.why,
            held=self._held,
            refused=self.sending.refused,
        )

    def _export(self, status: PagingStatus) -> None:
        metrics = self.metrics
        metrics.undelivered.set(status.undelivered)
        metrics.oldest_undelivered.set(status.undelivered_since or 0)
        metrics.held.set(status.held)
        metrics.refused.set(status.refused)
        metrics.watched.set(status.watched)
        metrics.last_round.set(status.at)


def _named(error: Exception) -> str:
    return cause(error) if isinstance(error, OSError) else where_raised(error)
