"""The keys of the worklist's index, and the content of each for a decision. Pure."""

from __future__ import annotations

import json

from triage.decision.records import decision_from, to_record
from triage.decision.types import Priority, TriageDecision

LISTS = {priority: f"cxr-triage:worklist:{priority}" for priority in Priority}
ENTRIES = "cxr-triage:worklist:entries"
PLACES = "cxr-triage:worklist:places"
BUILT = "cxr-triage:worklist:built"
READ = "cxr-triage:worklist:read"  # study: the revision that was read
READ_AT = "cxr-triage:worklist:read-at"  # study, by when it was read
TAGGED = "cxr-triage:worklist:tagged"  # study, by when it was tagged: of the last hour
CHANGES = "cxr-triage:worklist:changes"
ACCESSIONS = "cxr-triage:worklist:accessions"  # accession number, line break, study
CHANGED = "cxr-triage:worklist:changed"  # study, by the number of its last change: of the last changes
DOUBT = "cxr-triage:worklist:doubt"  # studies whose entry was found lost or unreadable

KEYS = [*LISTS.values(), ENTRIES, PLACES, READ, READ_AT, CHANGES, TAGGED, ACCESSIONS, CHANGED]
TYPES = {
    **dict.fromkeys((*LISTS.values(), READ_AT, TAGGED, ACCESSIONS, CHANGED), "zset"),
    **dict.fromkeys((ENTRIES, PLACES, READ), "hash"),
    **dict.fromkeys((BUILT, CHANGES), "string"),
    DOUBT: "set",
}
READING_ORDER = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)
_NUMBERS = {priority: number for number, priority in enumerate(LISTS, 1)}


def arguments(decision: TriageDecision, *, force: bool = False) -> list[str]:
    """Return the arguments of the scripts for a decision, in their order."""
    return [
        decision.study_instance_uid,
        repr(decision.tagged_at),
        str(_NUMBERS[decision.priority]),
        member(decision),
        entry(decision),
        decision.revision,
        decision.accession_number,
        str(decision.sequence),
        str(int(force)),
    ]


def member(decision: TriageDecision) -> str:
    """Return a study's member of its list: the arrival first, at fixed width, so that names sort by arrival."""
    return f"{microseconds(decision.received_at):016d}|{decision.study_instance_uid}"


def entry(decision: TriageDecision) -> str:
    """Return a decision as the index stores it."""
    return json.dumps(to_record(decision))


def place(decision: TriageDecision) -> str:
    """Return a study's position and the decision that set it: sequence, time, number of the list, member."""
    number = _NUMBERS[decision.priority]
    return f"{decision.sequence} {decision.tagged_at!r} {number} {member(decision)}"


def accession_entry(decision: TriageDecision) -> str:
    """Return a study's member of the accession numbers."""
    return f"{decision.accession_number}\n{decision.study_instance_uid}"


def readable(entry: bytes | None, study_instance_uid: str | None = None) -> TriageDecision | None:
    """Return the decision in an entry; None for no entry, an unreadable one, and one of another study."""
    try:
        decision = None if entry is None else decision_from(json.loads(entry))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_another = decision is not None and study_instance_uid not in (None, decision.study_instance_uid)
    return None if is_another else decision


def study_of(member: bytes) -> str:
    """Return the study of a member of a list; empty for a malformed member."""
    arrival, _, uid = member.decode("utf-8", "replace").partition("|")
    return uid if arrival.isascii() and arrival.isdigit() else ""


def microseconds(seconds: float) -> int:
    """Return POSIX seconds in microseconds, as the lists have them."""
    return round(seconds * 1_000_000)
