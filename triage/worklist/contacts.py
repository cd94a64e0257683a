"""The contacts of readers with a study that is not read yet: it was opened, or a page about it was acknowledged.

The study's log ``contacts.jsonl`` has a record for each. Neither takes the study off the list: that is an act
(worklist/reader_acts.py). They are kept where paging is on, which asks for them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from triage.decision.records import Record
from triage.spool.store import Store

FILE = "contacts.jsonl"
_AGAIN_S = 60.0  # a page that is open asks again and again


class ContactKind(StrEnum):
    """The kind of a contact."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True)
class ReaderContact:
    """One contact. ``at`` in POSIX seconds; ``who`` is the reader's name; ``revision`` is that of the decision."""

    kind: ContactKind
    at: float
    who: str
    revision: str


def contacts_of(spool: Store, study_instance_uid: str) -> list[ReaderContact]:
    """Return the contacts of all readers with a study, oldest first."""
    return [_contact_from(record) for record in spool.study_entries(study_instance_uid).records(FILE)]


def record_contact(spool: Store, study_instance_uid: str, kind: ContactKind, who: str, now: float) -> bool:
    """Record a contact durably, and return whether it is new.

    It is not where the same reader had the same within the last minute, and where the study has no decision that is
    shown. Raises InvalidUIDError, OSError.
    """
    if spool.decision(study_instance_uid) is None:  # before its lock creates a folder
        return False
    with spool.study_lock(study_instance_uid):
        decision = spool.decision(study_instance_uid)
        if decision is None or decision.get("silent"):
            return False
        contact = ReaderContact(kind, now, who, str(decision.get("revision", "")))
        if any(_repeats(each, contact) for each in contacts_of(spool, study_instance_uid)):
            return False
        spool.study_entries(study_instance_uid).append(FILE, asdict(contact))
    return True


def _repeats(known: ReaderContact, contact: ReaderContact) -> bool:
    same = (known.kind, known.who, known.revision) == (contact.kind, contact.who, contact.revision)
    return same and abs(contact.at - known.at) < _AGAIN_S


def _contact_from(record: Record) -> ReaderContact:
    return ReaderContact(**{**record, "kind": ContactKind(record["kind"])})
