"""Claims of workitems: who holds a study's workitem IN PROGRESS, and how a reader of our page claims and ends one.

A claim is the state IN PROGRESS of PS3.4 annex CC: there is no way back to SCHEDULED, and only the holder of the
Transaction UID ends it. For readers of our page we are that holder: the UID is made here, lies in ``workitem.json``
and is never told. ``claims.jsonl`` next to it has a line for each claim and each end, written before the state, so that
it is known whose a claim is; a claim without a line is another system's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from uuid import uuid4

from pydicom.dataset import Dataset

from triage.decision.records import Record
from triage.errors import TriageError
from triage.spool.store import Store
from triage.worklist import claim_attributes, workitem_state
from triage.worklist.reader_acts import acts_of, leaving_act
from triage.worklist.workitem_performer import performer
from triage.worklist.workitem_state import CANCELED, COMPLETED, FINAL, IN_PROGRESS, WorkitemState
from triage.worklist.workitem_store import Workitems, read_state, workitem_uid

FILE = "claims.jsonl"


class ClaimAct(StrEnum):
    """The kind of an act on a claim."""

    CLAIMED = "claimed"
    COMPLETED = "completed"
    RELEASED = "released"


class ClaimVia(StrEnum):
    """The way of a claim. ``UPS``: another system's, by UPS-RS."""

    PAGE = "page"
    COMMAND = "command"
    UPS = "ups"


@dataclass(frozen=True)
class ClaimEntry:
    """One line: ``who`` did it ``at`` (POSIX seconds). ``proof``: digest of the Transaction UID."""

    act: ClaimAct
    at: float
    who: str
    via: ClaimVia
    workitem: str
    proof: str
    reason: str = ""


@dataclass(frozen=True)
class Held:
    """A claim that lasts, since ``at`` (POSIX seconds).

    ``by``: the name of a user, or of another system as far as it is known; else empty.
    """

    by: str
    via: ClaimVia
    at: float

    def is_of(self, user: str) -> bool:
        """Return True if it is a claim of this user of our page."""
        return self.via is ClaimVia.PAGE and self.by == user


@dataclass(frozen=True)
class Person:
    """The person who acts. ``at``: the time, in POSIX seconds; ``admin``: may end the claims of other users."""

    name: str
    at: float
    admin: bool = False
    via: ClaimVia = ClaimVia.PAGE


class HeldError(TriageError):
    """The workitem is claimed by another; ``held`` is the claim."""

    def __init__(self, held: Held, why: str) -> None:
        super().__init__(why)
        self.held = held


class NotClaimedError(TriageError):
    """There is no claim to end, or no workitem that could be claimed."""


def claims_of(spool: Store, study_instance_uid: str) -> list[ClaimEntry]:
    """Return all claims of a study's workitems and their ends, oldest first."""
    return list(_readable(spool.study_entries(study_instance_uid).readable(FILE)))


def held(spool: Store, study_instance_uid: str) -> Held | None:
    """Return the claim of the study's workitem; None if it is not claimed."""
    return _held(spool, study_instance_uid, read_state(spool, study_instance_uid))


def note_claim(spool: Store, study: str, workitem: str, transaction_uid: str, system: Person) -> None:
    """Record that another system claims a workitem; under the study's lock, before it does. Raises OSError."""
    entry = ClaimEntry(ClaimAct.CLAIMED, system.at, system.name, ClaimVia.UPS, workitem, _proof(transaction_uid))
    _append(spool, study, entry)


@dataclass(frozen=True)
class Claims:
    """Claims by readers of our page. Every method returns the claim that lasts then, and raises OSError."""

    spool: Store
    workitems: Workitems

    def claim(self, study: str, person: Person) -> Held | None:
        """Claim a study's workitem for a person; one of the own lasts.

        Raises HeldError if another holds it, NotClaimedError if there is none that is SCHEDULED.
        """

        def step(state: WorkitemState, raised: int) -> WorkitemState:
            if found := _held(self.spool, study, state):
                if not found.is_of(person.name):
                    raise HeldError(found, f"the workitem is held by {found.by or 'another system'} already")
                return state
            if state.state in FINAL:
                raise NotClaimedError(f"the workitem of study {study} is {state.state}: there is nothing to claim")
            mine = f"2.25.{uuid4().int}"
            self._note(study, state.generation, ClaimAct.CLAIMED, person, _proof(mine))
            after = workitem_state.change(state, IN_PROGRESS, mine, person.at, raised)
            return claim_attributes.claimed(after, person.name, person.at)

        return self._changed(study, step)

    def complete(self, study: str, person: Person) -> Held | None:
        """Complete the workitem that a person has claimed, as its study is read; any other stays as it is."""

        def step(state: WorkitemState, raised: int) -> WorkitemState:
            found = _held(self.spool, study, state)
            if found is None or not found.is_of(person.name):
                return state
            self._note(study, state.generation, ClaimAct.COMPLETED, person, _proof(state.transaction_uid))
            ready = claim_attributes.performed(state, person.name, person.at)
            return workitem_state.change(ready, COMPLETED, state.transaction_uid, person.at, raised)

        self.workitems.change_newest(study, step)
        return held(self.spool, study)

    def release(self, study: str, person: Person, reason: str) -> Held | None:
        """End a claim by CANCELED with a reason; a new workitem replaces it unless the study has been read.

        Raises HeldError for a claim of another system, and of another user unless the person is an admin;
        NotClaimedError if there is none.
        """

        def step(state: WorkitemState, raised: int) -> WorkitemState:
            found = _held(self.spool, study, state)
            if found is None:
                raise NotClaimedError(f"the workitem of study {study} is {state.state}: there is no claim to end")
            _check_right(found, person)
            self._note(study, state.generation, ClaimAct.RELEASED, person, _proof(state.transaction_uid), reason)
            given = claim_attributes.discontinued(state, reason, person.at)
            after = workitem_state.change(given, CANCELED, state.transaction_uid, person.at, raised)
            return after if self._is_read(study) else workitem_state.successor(after)

        return self._changed(study, step)

    def reopen(self, study: str) -> Held | None:
        """Make the next workitem of a study that is put back on the list, if the last one is final."""
        self.workitems.change_newest(study, lambda state, _: _reopened(state))
        return held(self.spool, study)

    def _changed(self, study: str, step: workitem_state.Step) -> Held | None:
        if self.workitems.change_newest(study, step) is None:
            raise NotClaimedError(f"study {study} has no workitem")
        return held(self.spool, study)

    def _note(self, study: str, number: int, act: ClaimAct, person: Person, proof: str, reason: str = "") -> None:
        uid = workitem_uid(study, number)
        _append(self.spool, study, ClaimEntry(act, person.at, person.name, person.via, uid, proof, reason))

    def _is_read(self, study: str) -> bool:
        last = leaving_act(acts_of(self.spool, study))
        return last is not None and last.revision == (self.spool.decision(study) or {}).get("revision")


def _reopened(state: WorkitemState) -> WorkitemState:
    return workitem_state.successor(state) if state.state in FINAL else state


def _check_right(found: Held, person: Person) -> None:
    if found.via is not ClaimVia.PAGE:
        raise HeldError(found, f"held by {found.by or 'another system'}: only that system can end it (PS3.4 CC.1.1)")
    if not (person.admin or found.is_of(person.name)):
        raise HeldError(found, f"claimed by {found.by}: only its owner or an admin can end it")


def _held(spool: Store, study: str, state: WorkitemState) -> Held | None:
    if state.state != IN_PROGRESS:
        return None
    entries = [each for each in claims_of(spool, study) if each.act is ClaimAct.CLAIMED]
    proof, uid = _proof(state.transaction_uid), workitem_uid(study, state.generation)
    entry = next((each for each in reversed(entries) if (each.workitem, each.proof) == (uid, proof)), None)
    if entry is not None and entry.via is ClaimVia.PAGE:
        return Held(entry.who, ClaimVia.PAGE, entry.at)
    at = entry.at if entry else state.changed_at
    stated = claim_attributes.station(Dataset.from_json(state.attributes)) or performer(
        Dataset.from_json(state.attributes)
    )
    return Held(stated or (entry.who if entry else ""), ClaimVia.UPS, at)


def _proof(transaction_uid: str) -> str:
    return sha256(transaction_uid.encode()).hexdigest()


def _append(spool: Store, study: str, entry: ClaimEntry) -> None:
    spool.study_entries(study).append(FILE, asdict(entry))


def _readable(records: Iterable[Record]) -> Iterator[ClaimEntry]:
    """Yield the records that can be read: a damaged one must not hide a study."""
    for record in records:
        with suppress(ValueError, KeyError, TypeError):
            yield ClaimEntry(**{**record, "act": ClaimAct(record["act"]), "via": ClaimVia(record["via"])})
