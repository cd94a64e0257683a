"""The studies with cases, so that a list of them needs no look at all studies: entries in ``adjudication``.

    open/<study>      a case of the study has to be judged
    judged/<study>    all are judged

The names are an index: the journal of each study says what holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.spool.entries import Entries
from triage.spool.store import Store


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
