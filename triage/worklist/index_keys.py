"""PURE: the keys of the worklist's index, and what of a decision stands in each."""

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
DOUBT = "cxr-triage:worklist:doubt"  # studies of which somebody met an entry that cannot be read

KEYS = [*LISTS.values(), ENTRIES, PLACES, READ, READ_AT, CHANGES, TAGGED, ACCESSIONS]
TYPES = {
    **dict.fromkeys((*LISTS.values(), READ_AT, TAGGED, ACCESSIONS), "zset"),
    **dict.fromkeys((ENTRIES, PLACES, READ), "hash"),
    **dict.fromkeys((BUILT, CHANGES), "string"),
    DOUBT: "set",
}
READING_ORDER = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)
_NUMBERS = {priority: number for number, priority in enumerate(LISTS, 1)}


def arguments(decision: TriageDecision, *, force: bool = False) -> list[str]:
    """What the scripts are given of a decision, in their order."""
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
    """A study in its list: the arrival first, at fixed width, so that names are in the order of arrival."""
    return f"{microseconds(decision.received_at):016d}|{decision.study_instance_uid}"


def entry(decision: TriageDecision) -> str:
    """A decision as the index has it."""
    return json.dumps(to_record(decision))


def place(decision: TriageDecision) -> str:
    """Where a study stands, and by which decision: its number, when it was made, the list, the name in it."""
    number = _NUMBERS[decision.priority]
    return f"{decision.sequence} {decision.tagged_at!r} {number} {member(decision)}"


def accession_entry(decision: TriageDecision) -> str:
    """A study among the accession numbers."""
    return f"{decision.accession_number}\n{decision.study_instance_uid}"


def readable(entry: bytes | None, study_instance_uid: str | None = None) -> TriageDecision | None:
    """The decision in an entry; None for none, and for what cannot be read or is another study's, whoever wrote it."""
    try:
        decision = None if entry is None else decision_from(json.loads(entry))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_another = decision is not None and study_instance_uid not in (None, decision.study_instance_uid)
    return None if is_another else decision


def study_of(member: bytes) -> str:
    """The study of a member of a list; empty for a member that is none of ours."""
    arrival, _, uid = member.decode("utf-8", "replace").partition("|")
    return uid if arrival.isascii() and arrival.isdigit() else ""


def microseconds(seconds: float) -> int:
    """POSIX seconds as the lists have them."""
    return round(seconds * 1_000_000)
