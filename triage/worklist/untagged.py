"""Studies that were received and have no result yet, in the order of their arrival."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import text_of
from triage.dicom.data_set import read_header
from triage.spool.instance import ReceivedInstance
from triage.spool.silence import silent_since
from triage.spool.spool import Spool
from triage.worklist.study_facts import UNKNOWN, StudyFacts, facts_of_header


@dataclass(frozen=True)
class UntaggedStudy:
    """A study without a result. ``received_at``: when its first waiting object came, in POSIX seconds."""

    study_instance_uid: str
    received_at: float
    accession_number: str = ""
    facts: StudyFacts = field(default=UNKNOWN, repr=False)


def untagged(spool: Spool, limit: int) -> tuple[list[UntaggedStudy], int]:
    """Return the ``limit`` studies that came first, and the number of all. None in silent operation."""
    if silent_since(spool) is not None:
        return [], 0
    first = _first_objects(spool)
    waiting = [item for item in first.items() if spool.decision(item[0]) is None]
    waiting.sort(key=lambda item: item[1][0])
    return [_described(uid, at, path) for uid, (at, path) in waiting[:limit]], len(waiting)


def _first_objects(spool: Spool) -> dict[str, tuple[float, Path]]:
    """Return the first waiting object of each study, with its time."""
    found: dict[str, tuple[float, Path]] = {}
    for instance in spool.waiting():
        if (at := _received_at(spool, instance)) is None:
            continue
        known = found.get(instance.study_instance_uid)
        if known is None or at < known[0]:
            found[instance.study_instance_uid] = (at, spool.inbox_path(instance))
    return found


def _received_at(spool: Spool, instance: ReceivedInstance) -> float | None:
    try:
        return spool.inbox_path(instance).stat().st_mtime
    except FileNotFoundError:  # tagged meanwhile
        return None


def _described(uid: str, at: float, path: Path) -> UntaggedStudy:
    header = _header(path)
    return UntaggedStudy(uid, at, text_of(header, "AccessionNumber"), facts_of_header(header))


def _header(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return read_header(file)
    except Exception:  # damaged, or moved meanwhile; pydicom raises many kinds, and the study is listed all the same
        return Dataset()
