"""Studies whose images cannot be read: their messages wait, go out without a patient in the end, and are built again.

Patient and order are in the images. A part of a store may be away for minutes, and an object may be lost for good; one
answer does not tell which (docs/adr/0098).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice

from triage.delivery.outbox import Outbox
from triage.delivery.places import UNREAD
from triage.spool.store import Store
from triage.spool.study import GIVEN_UP_AFTER_S, read_whole_study

_AGAIN_S = 30.0  # what failed is tried again
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

    def has_waited(self, study_instance_uid: str, now: float) -> bool:
        """Note that the images cannot be read now; return whether that is so for long. Hold the study's lock."""
        note = self._note(study_instance_uid)
        since = note.get("since")
        if not isinstance(since, float) or since > now:
            self._put(study_instance_uid, {**note, "since": now})
            return False
        return now - since >= GIVEN_UP_AFTER_S

    def told_without(self, study_instance_uid: str) -> None:
        """Note that a message was built without the images. Hold the study's lock."""
        self._put(study_instance_uid, {"told": True})

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
    """The turns of such studies of a destination: when one is tried again or marked anew. For one thread."""

    notes: UnreadNotes
    outbox: Outbox
    _again_at: dict[str, float] = field(default_factory=dict)
    _all_again_at: float = float("-inf")
    _look_at: float = float("-inf")
    _noted: frozenset[str] = frozenset()
    _after: str = ""

    def waits(self, study_instance_uid: str) -> bool:
        """Return whether its images could not be read: those of others come first."""
        return study_instance_uid in self._noted or study_instance_uid in self._again_at

    def may_be_tried(self, study_instance_uid: str, now: float) -> bool:
        """Return whether it is its turn."""
        if not self.waits(study_instance_uid):
            return True
        return now >= max(self._again_at.get(study_instance_uid, now), self._all_again_at)

    def failed(self, study_instance_uid: str, begun: float, now: float) -> None:
        """Put a study off whose images could not be read; all of them, if that took long."""
        self._again_at[study_instance_uid] = now + _AGAIN_S
        if now - begun > _SLOW_S:
            self._all_again_at = now + _AGAIN_S

    def done(self, study_instance_uid: str) -> None:
        """Forget the failures of a study whose message is built, unless it was built without the images."""
        if self.waits(study_instance_uid) and not self.notes.is_told_without(study_instance_uid):
            self.notes.forget(study_instance_uid)
        self._again_at.pop(study_instance_uid, None)
        self._noted -= {study_instance_uid}

    def look(self, marked: Collection[str], now: float) -> None:
        """Mark studies anew that were told of without their images, if these can be read now. Raises OSError."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        studies = self.notes.studies()
        self._noted = frozenset(studies)
        self._again_at = {uid: at for uid, at in self._again_at.items() if uid in self._noted}
        behind = [uid for uid in studies if uid > self._after]
        turn = (*behind, *studies[: len(studies) - len(behind)])
        for uid in islice((each for each in turn if each not in marked), _AT_ONCE):
            self._after = uid
            if not self._looked_at(uid):
                return  # it may have taken its time: the next one has its turn with the next look

    def _looked_at(self, study_instance_uid: str) -> bool:
        """Mark a study anew if it can be read; return False if it cannot."""
        spool, uid = self.notes.spool, study_instance_uid
        if self.notes.is_told_without(uid):
            try:
                found = read_whole_study(spool, uid)
            except (OSError, ValueError, KeyError, TypeError):
                return False
            if found is not None:
                with spool.study_lock(uid):
                    self.outbox.mark(uid, self.notes.destination)
        self.notes.forget(uid)
        return True
