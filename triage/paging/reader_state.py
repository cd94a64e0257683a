"""The state of a study with its readers, from the files of the spool: was it read, and was it opened last when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from triage.decision.records import Record
from triage.spool.store import Store
from triage.worklist.contacts import ContactKind, contacts_of
from triage.worklist.reader_acts import Act, acts_of, leaving_act
from triage.worklist.workitem_state import IN_PROGRESS
from triage.worklist.workitem_store import read_state

_WORDS = {
    ContactKind.OPENED: "opened",
    ContactKind.ACKNOWLEDGED: "acknowledged",
    Act.LABEL: "labelled",
    Act.UNREAD: "put back on the list",
}


@dataclass(frozen=True)
class Contact:
    """The last contact: POSIX seconds, and a description for people, ``opened by ann``."""

    at: float
    what: str


@dataclass(frozen=True)
class ReaderState:
    """``left_as``: the revision of the decision as which the study left the list, empty if it did not."""

    left_as: str = ""
    contact: Contact | None = None


def reader_state(spool: Store, study_instance_uid: str, since: float) -> ReaderState:
    """Return the state of a study; contacts from before ``since`` (POSIX seconds) do not count.

    Raises OSError, and ValueError, KeyError or TypeError for records that cannot be read.
    """
    acts = acts_of(spool, study_instance_uid)
    left = leaving_act(acts)
    found = [each for each in _contacts(spool, study_instance_uid) if each.at >= since]
    return ReaderState(left.revision if left else "", max(found, key=lambda each: each.at, default=None))


def has_left(state: ReaderState, decision: Record) -> bool:
    """Return True if the study left the list as its present decision."""
    return bool(state.left_as) and state.left_as == decision.get("revision")


def _contacts(spool: Store, study_instance_uid: str) -> Iterator[Contact]:
    for each in contacts_of(spool, study_instance_uid):
        yield Contact(each.at, _by(_WORDS[each.kind], each.who))
    for act in acts_of(spool, study_instance_uid):
        if act.act in (Act.LABEL, Act.UNREAD):
            yield Contact(act.at, _by(_WORDS[act.act], act.who))
    workitem = read_state(spool, study_instance_uid)
    if workitem.state == IN_PROGRESS:
        yield Contact(workitem.changed_at, "its workitem is claimed")


def _by(what: str, who: str) -> str:
    return f"{what} by {who}" if who else what
