"""The one interface by which rooms read and change the worklist; ``opening.py`` chooses the implementation.

With files it is an index in Redis (index.py), which follows the files; with a store in PostgreSQL it is a table of that
store (table_worklist.py), which changes with what it is of. Unless it says so, a method raises what the two raise while
they do not answer: RedisError and OSError (``AWAY``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from redis.exceptions import RedisError

from triage.decision.types import ImageAssessment, TriageDecision
from triage.worklist.index_state import FirstToRead
from triage.worklist.page import Page

AWAY = (RedisError, OSError)
"""Errors of a worklist that does not answer."""


class ListChanges(Protocol):
    """The changes of the list, told by those who made them."""

    @property
    def is_of_store(self) -> bool:
        """True if the list is of the store, and changes in the transaction that changes the store.

        Then what it is told belongs under the study's lock; else the list is told what is durable already.
        """

    def deciding(
        self, study_instance_uids: Collection[str], new: Collection[ImageAssessment] = ()
    ) -> Callable[[str], None]:
        """Return what takes what the list shows of a study from its objects and acts.

        To be called before these studies are locked: the headers of their objects are read here, and of those of
        ``new``, which are not written yet. To call what is returned, hold the lock under which the study is decided.
        """

    def put_all(self, decisions: Iterable[TriageDecision]) -> None:
        """List decisions that are durable, without those of silent studies."""

    def read(self, study_instance_uid: str, revision: str, at: float) -> None:
        """Remove a study from the list that was read as ``revision`` of its decision; a new revision lists it again."""

    def unread(self, study_instance_uid: str) -> None:
        """List a study again, at its position."""

    def remove(self, study_instance_uid: str | bytes) -> None:
        """Remove a study, if it is known."""

    def touch(self, study_instance_uid: str) -> None:
        """Tell those who show the list that something of a study has changed that the list does not have."""

    def rehearse(self, decision: TriageDecision) -> None:
        """Test all that listing needs, with a decision that no reader sees. Raises RuntimeError if it is not listed."""


class Worklist(ListChanges, Protocol):
    """The list. Safe to share between threads."""

    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """Return a study's decision, as the list knows it, read or not; None if it has none."""

    def page(self, cursor: str | None, limit: int, now: float, waiting_cap_s: float = 0.0) -> Page:
        """Return at most ``limit`` entries in reading order. The list is live: see ``WorklistQuery``.

        Args:
            cursor: that of the page before; None starts at the top.
            limit: the number of entries.
            now: POSIX seconds.
            waiting_cap_s: seconds after which a study is shown before all others; 0 is no cap.

        Raises:
            BadCursorError: ``cursor`` is malformed.
        """

    def last_read(self, limit: int) -> tuple[TriageDecision, ...]:
        """Return the studies that were read last, the last one first."""

    def listed(
        self, study_instance_uids: Collection[str], accession_numbers: Collection[str]
    ) -> tuple[TriageDecision, ...]:
        """Return the listed studies with one of these UIDs or accession numbers."""

    def with_accession_number(self, accession_number: str) -> tuple[str, ...]:
        """Return the studies with exactly this accession number, read or not."""

    def arrived_before(self, moment: float) -> Iterator[str]:
        """Yield the listed studies whose first object came before ``moment`` (POSIX s), of each priority by arrival."""

    def unread_high(self, at_most: int) -> tuple[int, tuple[str, ...]]:
        """Return the number of listed studies of priority HIGH, and up to ``at_most`` of them, those that came last."""

    def first_to_read(self, now: float, waiting_cap_s: float) -> FirstToRead:
        """Return the numbers of those that come first at ``now`` (POSIX seconds); waiting cap in seconds, 0: none."""

    def count(self) -> int:
        """Return how many studies are listed."""

    def tagged_since(self, moment: float) -> int:
        """Return how many studies were tagged since ``moment`` (POSIX seconds), which is at most an hour ago."""

    def last_result_at(self) -> float | None:
        """Return when the last study was tagged, in POSIX seconds; None if it is not known."""

    def changes(self) -> int:
        """Return a number that is another one after each change, for this process."""

    def is_built(self) -> bool:
        """Return whether the list has every decision."""

    def why_away(self) -> str:
        """Return why the list does not answer, for people; empty if it does. Never raises."""
