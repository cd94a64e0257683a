"""One outgoing object: its name in the outbox and its delivery record."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from triage.decision.types import URGENCY_OF_TAG, Tag
from triage.decision.urgency import Urgency
from triage.dicom.uid import valid_uid

_TRIES_KEPT = 20
BEGUN = "begun"
"""The outcome of an attempt that has begun, and of which no more is known: the receiver may have the message."""
_NEWER = ("urgency", "correction")
NOT_READ = "what the images say of patient and order: they could not be read, and it is built again when they can be"
"""Among what a message lacks; also later releases compare with this text."""


class DeliveryState(StrEnum):
    """State of one built message."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up after the last try; a person can requeue it
    SUPERSEDED = "superseded"  # never sent: a newer result took its place
    SKIPPED = "skipped"  # there was nothing to send of it; the record says why
    DROPPED = "dropped"  # a person said so


@dataclass(frozen=True, order=True)
class DeliveryKey:
    """The key of a dead letter of delivery: its destination and its file name there.

    The file is named by number, study and revision of a message; by the study alone where none could be built.
    """

    destination: str
    file_name: str

    def __str__(self) -> str:
        """Return its text in commands and on the page, with a slash between both."""
        return f"{self.destination}/{self.file_name}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key of ``text``. Raises ValueError for one without a slash."""
        destination, slash, file_name = text.partition("/")
        if not slash:
            raise ValueError(f"not a key of a delivery: {text[:200]!r}")
        return cls(destination, file_name)

    @property
    def study_instance_uid(self) -> str:
        """The study in its file name, unchecked."""
        parts = self.file_name.split("+")
        return parts[1] if len(parts) == 3 else parts[0]

    @property
    def is_built(self) -> bool:
        """True for a message, False for a study of which no message could be built."""
        return "+" in self.file_name


@dataclass(frozen=True, order=True)
class OutgoingObject:
    """One built message. ``due`` in POSIX milliseconds; ``number`` counts the messages about the study."""

    due: int
    tries: int
    number: int
    study_instance_uid: str
    revision: str
    destination: str

    def __post_init__(self) -> None:
        valid_uid(self.study_instance_uid)
        if not (len(self.revision) == 32 and self.revision.isalnum()):
            raise ValueError(f"not a revision: {self.revision[:80]!r}")

    @property
    def name(self) -> str:
        """Its file in the outbox."""
        return f"{self.due:015d}+{self.tries:03d}+{self.number:04d}+{self.study_instance_uid}+{self.revision}"

    @property
    def key(self) -> DeliveryKey:
        """Its name in commands, and its file among the dead letters."""
        return DeliveryKey(self.destination, f"{self.number:04d}+{self.study_instance_uid}+{self.revision}")

    @classmethod
    def from_name(cls, destination: str, name: str) -> Self:
        """Return the object of a file's name. Raises ValueError for a name of another form."""
        due, tries, number, study, revision = name.split("+")
        return cls(int(due), int(tries), int(number), study, revision, destination)


@dataclass(frozen=True)
class DeliveryRecord:
    """Record of one message to a destination. Times are POSIX seconds.

    Attributes:
        said: the content that the receiver learns, for comparison with a later one.
        identity: the identifiers by which the receiver knows it: SOP Instance UID, message control ID.
        tries: the last attempts: time, outcome, detail.
        left_out: malformed attributes that the message lacks, and why.
        urgency: the urgency that was told, where it is another than the tag implies; empty for that of the tag.
        correction: the identifier of the act that it corrects earlier messages by; empty for an ordinary result.
    """

    destination: str
    number: int
    revision: str
    state: DeliveryState
    tag: str
    said: list[object]
    identity: dict[str, str]
    built_at: float
    decided_at: float
    tries: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()
    urgency: str = ""
    correction: str = ""

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """The record in ``content``."""
        values = json.loads(content)
        lists = {"tries": tuple(values["tries"]), "left_out": tuple(values.get("left_out", ()))}
        return cls(**{**values, "state": DeliveryState(values["state"]), **lists})

    def to_json(self) -> str:
        """Return the record as JSON; earlier releases know no urgency or correction, and read a record without."""
        known = {name: value for name, value in self.__dict__.items() if value or name not in _NEWER}
        return json.dumps(known, indent=1)

    @property
    def withdraws(self) -> bool:
        """True for a message that only takes back what was said of another patient."""
        return bool(self.correction) and not self.said

    @property
    def lacks_images(self) -> bool:
        """True for a message that was built without images that could not be read: it may name no patient."""
        return NOT_READ in self.left_out

    @property
    def told_urgency(self) -> Urgency:
        """The urgency that the receiver was told, or that the tag implied. Raises ValueError for a foreign one."""
        return Urgency(self.urgency) if self.urgency else URGENCY_OF_TAG[Tag(self.tag)]

    def tried(self, outcome: str, detail: str, at: float) -> Self:
        """The record with one more attempt; in place of its beginning, if that is the last."""
        attempt = {"at": at, "outcome": outcome, "detail": detail[:500]}
        before = self.not_begun().tries if outcome != BEGUN else self.tries
        return replace(self, tries=(*before, attempt)[-_TRIES_KEPT:])

    def not_begun(self) -> Self:
        """The record without the beginning of an attempt, if that is the last."""
        return replace(self, tries=self.tries[:-1]) if self.tries and self.tries[-1]["outcome"] == BEGUN else self


def milliseconds(seconds: float) -> int:
    """Return POSIX seconds in the form of the outbox's names."""
    return int(seconds * 1000)
