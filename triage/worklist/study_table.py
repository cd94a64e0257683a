"""A copy of the listed decisions in this process's memory, for orders and filters that the index does not have.

It follows the index's log of changes, at a cost that does not grow with the list, and is read anew once a minute and
whenever the log does not reach back. A list so long that reading it takes seconds is read anew less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from triage.decision.types import TriageDecision
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_keys import readable

_READ_ANEW_EVERY_S = 60.0
_LEAST_PAUSE = 20  # times what reading it took


class StudyTable:
    """The listed decisions by study. Not safe to share between threads. Methods raise RedisError."""

    def __init__(self, index: IndexedWorklist, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._clock = clock
        self._decisions: dict[str, TriageDecision] = {}
        self._count = -1  # of changes that are in the copy
        self._read_at = float("-inf")
        self._pause_s = _READ_ANEW_EVERY_S
        self._digests: dict[str, int] = {}  # of the entries that the decisions were read from
        self._skipped = 0
        self.version = 0
        self.changed: set[str] = set()  # studies, until they are taken out

    @property
    def decisions(self) -> Mapping[str, TriageDecision]:
        """The decisions as of the last ``refresh``."""
        return self._decisions

    @property
    def is_whole(self) -> bool:
        """False if entries of the index were lost or unreadable when it was read last."""
        return not self._skipped

    def refresh(self) -> None:
        """Follow the index. ``version`` is another one afterwards if anything changed."""
        changes = self._index.state.changed_since(self._count)
        if changes.studies is None or self._clock() - self._read_at >= self._pause_s:
            began = self._clock()
            self._read_anew()
            self._pause_s = max(_READ_ANEW_EVERY_S, _LEAST_PAUSE * (self._clock() - began))
        elif changes.studies:
            self._follow(changes.studies)
        self._count = changes.count

    def _read_anew(self) -> None:
        entries = self._index.listed_entries()
        found = {uid: self._read(uid, entry) for uid, entry in entries}
        unreadable = [uid for uid, decision in found.items() if decision is None]
        decisions = {uid: decision for uid, decision in found.items() if decision is not None}
        self._index.doubt(unreadable)
        self._skipped, self._read_at = len(unreadable), self._clock()
        self._digests = {uid: hash(entry) for uid, entry in entries}
        before, self._decisions = self._decisions, decisions
        self._note({uid for uid in before.keys() | decisions.keys() if before.get(uid) is not decisions.get(uid)})

    def _read(self, uid: str, entry: bytes | None) -> TriageDecision | None:
        """Return the decision in an entry; the known one if it is of the same bytes, as reading costs most."""
        if uid in self._decisions and self._digests.get(uid) == hash(entry):
            return self._decisions[uid]
        return readable(entry, uid)

    def _follow(self, studies: frozenset[str]) -> None:
        listed = {each.study_instance_uid: each for each in self._index.listed(studies, ())}
        for uid in studies:
            self._digests.pop(uid, None)
        for uid in studies - listed.keys():
            self._decisions.pop(uid, None)
        self._decisions.update(listed)
        self._note(studies)

    def _note(self, changed: Collection[str]) -> None:
        if changed:
            self.changed.update(changed)
            self.version += 1
