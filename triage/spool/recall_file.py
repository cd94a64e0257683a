"""The acts of a recall on one study: the log ``recall.jsonl`` of its entries.

    scored_again    objects of the study went back into the inbox; with what was found of them before
    corrected       a person corrected what was said of it: ``decision/correction.py``

The log is read whenever a message is built: what it says holds after a crash.
"""

from __future__ import annotations

from collections.abc import Iterator

from triage.decision.correction import Correction
from triage.decision.records import Record
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store

RECALL_FILE = "recall.jsonl"
_SCORED_AGAIN, _CORRECTED = "scored_again", "corrected"


def corrections_of(spool: Store, study_instance_uid: str) -> list[Correction]:
    """Return the corrections of a study, oldest first."""
    return [Correction.from_record(each["correction"]) for each in _acts(spool, study_instance_uid, _CORRECTED)]


def add_correction(spool: Store, study_instance_uid: str, correction: Correction) -> bool:
    """Record a correction durably, unless it is recorded; return whether it is new. Hold the study's lock."""
    if any(each.identifier == correction.identifier for each in corrections_of(spool, study_instance_uid)):
        return False
    _append(spool, study_instance_uid, {"act": _CORRECTED, "correction": correction.to_record()})
    return True


def recalled_assessments(spool: Store, study_instance_uid: str) -> list[tuple[float, Record]]:
    """Return what was found of objects before they were scored again, each with the time of that act."""
    return [
        (float(act["at"]), found)
        for act in _acts(spool, study_instance_uid, _SCORED_AGAIN)
        for found in act["assessments"]
    ]


def was_scored_again(spool: Store, instance: ReceivedInstance) -> bool:
    """Return whether an object was scored before, and was put back by a recall. False if that cannot be read."""
    try:
        found = [each for _, each in recalled_assessments(spool, instance.study_instance_uid)]
        contents = {(each["sop_instance_uid"], each["content_digest"]) for each in found}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return (instance.sop_instance_uid, instance.content_digest) in contents


def add_scored_again(spool: Store, study_instance_uid: str, at: float, assessments: list[Record]) -> None:
    """Record durably that objects are about to be scored again. Hold the study's lock."""
    _append(spool, study_instance_uid, {"act": _SCORED_AGAIN, "at": at, "assessments": assessments})


def _acts(spool: Store, study_instance_uid: str, act: str) -> Iterator[Record]:
    for record in spool.study_entries(study_instance_uid).records(RECALL_FILE):
        if record["act"] == act:
            yield record


def _append(spool: Store, study_instance_uid: str, record: Record) -> None:
    spool.study_entries(study_instance_uid).append(RECALL_FILE, record)
