"""Studies that were received and have no result yet, in the order of their arrival."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import text_of
from triage.dicom.data_set import read_header
from triage.spool.silence import silent_since
from triage.spool.store import Store
from triage.spool.stored_object import StoredObject
from triage.worklist.study_facts import UNKNOWN, StudyFacts, facts_of_header


@dataclass(frozen=True)
class UntaggedStudy:
    """A study without a result. ``received_at``: when its first waiting object came, in POSIX seconds."""

    study_instance_uid: str
    received_at: float
    accession_number: str = ""
    facts: StudyFacts = field(default=UNKNOWN, repr=False)


def untagged(spool: Store, limit: int) -> tuple[list[UntaggedStudy], int]:
    """Return the ``limit`` studies that came first, and the number of all. None in silent operation."""
    if silent_since(spool) is not None:
        return [], 0
    first = _first_objects(spool)
    waiting = [item for item in first.items() if spool.decision(item[0]) is None]
    waiting.sort(key=lambda item: item[1][0])
    return [_described(uid, at, stored) for uid, (at, stored) in waiting[:limit]], len(waiting)


def _first_objects(spool: Store) -> dict[str, tuple[float, StoredObject]]:
    """Return the first waiting object of each study, with its time."""
    found: dict[str, tuple[float, StoredObject]] = {}
    for instance in spool.waiting():
        stored = spool.waiting_object(instance)
        try:
            at = stored.received_at()
        except FileNotFoundError:  # tagged meanwhile
            continue
        known = found.get(instance.study_instance_uid)
        if known is None or at < known[0]:
            found[instance.study_instance_uid] = (at, stored)
    return found


def _described(uid: str, at: float, stored: StoredObject) -> UntaggedStudy:
    header = _header(stored)
    return UntaggedStudy(uid, at, text_of(header, "AccessionNumber"), facts_of_header(header))


def _header(stored: StoredObject) -> Dataset:
    try:
        with warnings.catch_warnings(), stored.open("rb") as file:
            warnings.simplefilter("ignore")
            return read_header(file)
    except Exception:  # damaged, or moved meanwhile; pydicom raises many kinds, and the study is listed all the same
        return Dataset()
