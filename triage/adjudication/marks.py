"""The studies with cases, so that a list of them needs no look at all studies: entries in ``adjudication``.

    open/<study>      a case of the study has to be judged
    judged/<study>    all are judged
    lapsed.jsonl      cases whose study was removed before they were judged: how each was chosen, and when; no study

The names are an index: the journal of each study says what holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.spool.entries import Entries
from triage.spool.store import Store

_LAPSED = "lapsed.jsonl"


@dataclass(frozen=True)
class LapsedCase:
    """A case that can no longer be judged. Times in POSIX seconds.

    Attributes:
        chosen_by: The way by which it was chosen; see ``ChosenBy``.
        of_study: Whether it was on the study as a whole.
        since: When it came up.
        at: When its study was removed.
    """

    chosen_by: str
    of_study: bool
    since: float
    at: float


class CaseMarks:
    """All reading and writing of these entries."""

    def __init__(self, spool: Store) -> None:
        self._site = spool.entries("adjudication")
        self._open = spool.entries("adjudication", "open")
        self._judged = spool.entries("adjudication", "judged")

    def open(self, study_instance_uid: str) -> None:
        """Note that a case of the study has to be judged. Raises OSError."""
        self._note(self._open, study_instance_uid)
        self._judged.remove(study_instance_uid)

    def judge(self, study_instance_uid: str) -> None:
        """Note that all cases of the study are judged. Raises OSError."""
        self._note(self._judged, study_instance_uid)
        self._open.remove(study_instance_uid)

    def reopen(self, study_instance_uid: str) -> None:
        """Note a further result of a study that was judged: another image may have come. Raises OSError."""
        if self._judged.has(study_instance_uid):
            self.open(study_instance_uid)

    def remove(self, study_instance_uid: str) -> None:
        """Forget a study. Raises OSError."""
        for entries in (self._open, self._judged):
            entries.remove(study_instance_uid)

    def is_open(self, study_instance_uid: str) -> bool:
        """Return whether a case of the study has to be judged."""
        return self._open.has(study_instance_uid)

    def lapse(self, case: LapsedCase) -> None:
        """Note a case whose study is removed before it was judged. Raises OSError."""
        self._site.append(_LAPSED, asdict(case))

    def lapsed(self) -> list[LapsedCase]:
        """Return the cases whose studies were removed before they were judged, in that order. Raises OSError."""
        return [LapsedCase(**each) for each in self._site.readable(_LAPSED)]

    def opened(self) -> list[str]:
        """Return the studies with a case to be judged."""
        return sorted(_uids(self._open.names()))

    def judged(self, at_most: int) -> list[str]:
        """Return the studies that were judged last, the last one first."""
        return _uids(name for _, name in reversed(self._judged.by_time()))[:at_most]

    def _note(self, entries: Entries, study_instance_uid: str) -> None:
        uid = valid_uid(study_instance_uid)
        self._site.prepare()
        entries.prepare()
        entries.note(uid)


def _uids(names: Iterable[str]) -> list[str]:
    uids = []
    for name in names:
        with suppress(InvalidUIDError):
            uids.append(valid_uid(name))
    return uids
