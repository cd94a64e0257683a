"""Studies whose images cannot be read: their messages wait, go out without a patient in the end, and are built again.

Patient and order are in the images, and the picture of a secondary capture is. A part of a store may be away for
minutes, and an object may be lost for good; one answer does not tell which (docs/adr/0098, 0101).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

from triage.delivery.outbox import Outbox
from triage.delivery.places import UNREAD
from triage.delivery.put_off import PutOff
from triage.spool.store import Store
from triage.spool.study import read_whole_study

_SLOW_S = 1.0  # a part of a store that is silent costs its timeout each time: then the others have their turn first
_LOOK_S = 60.0
_AT_ONCE = 50


@dataclass(frozen=True)
class UnreadNotes:
    """Notes about such studies, as entries: they survive a restart, and another leader reads them.

    A note is there as long as the mark, from the first failure on, and on after a message without its images.
    """

    spool: Store
    destination: str

    def waited_s(self, study_instance_uid: str, now: float) -> float:
        """Note that the images cannot be read now; return for how long that is so. Hold the study's lock.

        ``now`` is a time that all hosts share (``spool.clock.time_of``), in POSIX seconds.
        """
        note = self._note(study_instance_uid)
        since = note.get("since")
        if not isinstance(since, float) or since > now:
            since = now
            self._put(study_instance_uid, {**note, "since": since})
        return now - since

    def told_without(self, study_instance_uid: str) -> None:
        """Note that the destination was told without the images. A later result need not wait for them again.

        Hold the study's lock.
        """
        self._put(study_instance_uid, {**self._note(study_instance_uid), "told": True})

    def is_told_without(self, study_instance_uid: str) -> bool:
        """Return whether the last message was built without the images."""
        return bool(self._note(study_instance_uid).get("told"))

    def forget(self, study_instance_uid: str) -> None:
        """Remove the note, if there is one."""
        self.spool.entries(UNREAD, self.destination).remove(study_instance_uid)

    def studies(self) -> list[str]:
        """Return the studies with a note, in order."""
        return sorted(self.spool.entries(UNREAD, self.destination).names())

    def _note(self, study_instance_uid: str) -> dict[str, object]:
        try:
            found = json.loads(self.spool.entries(UNREAD, self.destination).get(study_instance_uid))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _put(self, study_instance_uid: str, note: dict[str, object]) -> None:
        entries = self.spool.entries(UNREAD, self.destination)
        for each in (self.spool.entries(UNREAD), entries):
            each.prepare()
        entries.put(study_instance_uid, json.dumps(note))


@dataclass
class UnreadTurns:
    """The turns of a destination's studies of which none could be built: when one is tried again or marked anew.

    For one thread. Times are POSIX seconds by this host's clock. ``told``: the studies that the destination was told of
    without images, at the last look.
    """

    notes: UnreadNotes
    outbox: Outbox
    longest_s: float
    told: int = field(default=0, init=False)
    _put_off: PutOff = field(init=False)
    _look_at: float = float("-inf")
    _noted: frozenset[str] = frozenset()
    _after: str = ""

    def __post_init__(self) -> None:
        self._put_off = PutOff(self.longest_s)

    def is_noted(self, study_instance_uid: str) -> bool:
        """Return whether its images could not be read, or its message was built without them."""
        return study_instance_uid in self._noted

    def waits(self, study_instance_uid: str) -> bool:
        """Return whether something of it failed: others come first."""
        return self.is_noted(study_instance_uid) or self._put_off.has(study_instance_uid)

    def may_be_tried(self, study_instance_uid: str, now: float) -> bool:
        """Return whether it is its turn."""
        return not self.waits(study_instance_uid) or self._put_off.is_due(study_instance_uid, now)

    def may_leave(self, study_instance_uid: str) -> bool:
        """Return whether what waits of it may be sent before it is tried again; see ``failed``."""
        return self._put_off.may_leave(study_instance_uid)

    def failed(self, study_instance_uid: str, begun: float, now: float, *, looked_at: bool) -> bool:
        """Put a study off; all of them, if that took long. Return whether it is its first failure in a row.

        ``looked_at``: nothing waits of it that must not leave; see ``build_if_changed``. Else that is unknown.
        """
        first = not self.waits(study_instance_uid)
        if looked_at:
            self._noted |= {study_instance_uid}
        self._put_off.add(study_instance_uid, now, may_leave=looked_at)
        if now - begun > _SLOW_S:
            self._put_off.all(now)
        return first

    def done(self, study_instance_uid: str) -> None:
        """Forget the failures of a study of which nothing is to be built any more."""
        self._put_off.remove(study_instance_uid)

    def look(self, marked: Collection[str], now: float) -> None:
        """Mark studies anew that were told of without their images, if these can be read now. Raises OSError."""
        if now < self._look_at <= now + _LOOK_S:  # one further ahead was set by a clock that was wrong
            return
        self._look_at = now + _LOOK_S
        studies = self.notes.studies()
        self._noted, self.told = frozenset(studies), len(set(studies).difference(marked))
        self._put_off.keep_only(marked)
        behind = [uid for uid in studies if uid > self._after]
        turn = (*behind, *studies[: len(studies) - len(behind)])
        begun = time.monotonic()
        for uid in islice((each for each in turn if each not in marked), _AT_ONCE):
            self._after = uid
            self.told -= self._is_forgotten(uid)
            if time.monotonic() - begun > _SLOW_S:
                return  # the next one has its turn with the next look

    def _is_forgotten(self, study_instance_uid: str) -> bool:
        """Mark a study anew if it can be read and marked, and forget its note; return False if it cannot."""
        spool, uid = self.notes.spool, study_instance_uid
        if self.notes.is_told_without(uid):
            try:
                if read_whole_study(spool, uid) is not None:
                    with spool.study_lock(uid):
                        self.outbox.mark(uid, self.notes.destination)
            except (OSError, ValueError, KeyError, TypeError):  # or another process holds it
                return False
        self.notes.forget(uid)
        return True
