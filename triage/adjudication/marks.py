"""The studies with cases, so that a list of them needs no look at the whole spool: ``adjudication/`` in the spool.

    open/<study>      a case of the study has to be judged
    judged/<study>    all are judged

The names are an index: the journal of each study says what holds.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.spool.spool import Spool


class CaseMarks:
    """All reading and writing of these files."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._root = spool.root / "adjudication"
        self._open = self._root / "open"
        self._judged = self._root / "judged"

    def open(self, study_instance_uid: str) -> None:
        """Note that a case of the study has to be judged. Raises OSError."""
        for folder in (self._root, self._open):
            self._spool.make_folder(folder)
        self._spool.touch(self._open / valid_uid(study_instance_uid))
        (self._judged / study_instance_uid).unlink(missing_ok=True)

    def judge(self, study_instance_uid: str) -> None:
        """Note that all cases of the study are judged. Raises OSError."""
        for folder in (self._root, self._judged):
            self._spool.make_folder(folder)
        self._spool.touch(self._judged / valid_uid(study_instance_uid))
        (self._open / study_instance_uid).unlink(missing_ok=True)

    def reopen(self, study_instance_uid: str) -> None:
        """Note a further result of a study that was judged: another image may have come. Raises OSError."""
        if (self._judged / study_instance_uid).exists():
            self.open(study_instance_uid)

    def remove(self, study_instance_uid: str) -> None:
        """Forget a study. Raises OSError."""
        for folder in (self._open, self._judged):
            (folder / study_instance_uid).unlink(missing_ok=True)

    def opened(self) -> list[str]:
        """Return the studies with a case to be judged."""
        return _names(self._open)

    def judged(self, at_most: int) -> list[str]:
        """Return the studies that were judged last, the last one first."""
        found: list[tuple[float, str]] = []
        for uid in _names(self._judged):
            with suppress(FileNotFoundError):
                found.append(((self._judged / uid).stat().st_mtime, uid))
        return [uid for _, uid in sorted(found, reverse=True)[:at_most]]


def _names(folder: Path) -> list[str]:
    names = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(InvalidUIDError):
                names.append(valid_uid(path.name))
    return sorted(names)
