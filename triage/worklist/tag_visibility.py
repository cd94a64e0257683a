"""The answer, of a study's records: was the tag visible to its readers before they read it?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from triage.spool.store import Store
from triage.worklist.reader_act import Act, standing
from triage.worklist.reader_acts import acts_of
from triage.worklist.shown import Item, ShownResult, shown_of

_BEGINNING = "shown-since"


class Visibility(StrEnum):
    """Visibility of the tag before the reading."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def note_beginning(spool: Store, now: float) -> None:
    """Note that looks are recorded from ``now`` on (POSIX seconds), once for the spool. Raises OSError."""
    control = spool.entries("control")
    if not control.has(_BEGINNING):
        control.prepare()
        control.put(_BEGINNING, f"{now!r}\n")


def visibility_of(spool: Store, study_instance_uid: str, readers: Collection[str]) -> Visibility:
    """Return whether the tag of a study was visible to ``readers`` before it was read: its first reading or label.

    A silent study is shown to no reader. What a destination showed of a result that was made for it is not known.
    """
    acts = [each for each in standing(acts_of(spool, study_instance_uid)) if each.act in (Act.READ, Act.LABEL)]
    if not acts:
        return Visibility.UNKNOWN
    read_at = min(each.at for each in acts)
    looks = shown_of(spool, study_instance_uid)
    results = spool.history(study_instance_uid)
    silent = bool(results) and all(each.get("silent") for each in results)
    first = min((float(each.get("tagged_at", 0.0)) for each in results), default=0.0)
    recorded = _recorded_since(spool) <= first and not _is_told(spool, study_instance_uid)
    return of_looks(looks, readers, read_at, nowhere=silent or recorded)


def of_looks(looks: Sequence[ShownResult], readers: Collection[str], read_at: float, *, nowhere: bool) -> Visibility:
    """Return whether the tag was visible before ``read_at`` (POSIX seconds).

    YES: to one of ``readers``. NO: to no user on our pages, and it is known that it was shown ``nowhere`` else. UNKNOWN
    otherwise: a user who saw it may be the reader under another name, as a report has it.
    """
    before = [each for each in looks if each.at <= read_at and Item.TAG in each.visible]
    if any(each.who in readers for each in before):
        return Visibility.YES
    return Visibility.NO if nowhere and not before else Visibility.UNKNOWN


def _is_told(spool: Store, study_instance_uid: str) -> bool:
    """Return whether a result was ever made for a destination; see ``delivery/outbox.py``."""
    return bool(spool.study_entries(study_instance_uid, "deliveries").names())


def _recorded_since(spool: Store) -> float:
    try:
        return float(spool.entries("control").get(_BEGINNING))
    except (OSError, ValueError):
        return float("inf")
