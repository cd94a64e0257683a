"""The folders of studies by their parents, of which those that did not change are not read again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from triage.dicom.uid import InvalidUIDError, valid_uid

_RACY_NS = 2_000_000_000
"""A parent that changed so short a time ago is read again: a further change may bear the same time."""


class StudyFolders:
    """The 256 parents of the study folders, as one process saw them last.

    A parent's time of change moves when a study is added to it or removed from it, and not when one changes.
    ``clock`` is in nanoseconds since 1970.
    """

    def __init__(self, studies: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._studies, self._clock = studies, clock
        self._seen: dict[str, tuple[int, int]] = {}

    def changed(self) -> dict[str, list[str]]:
        """Return the study UIDs in each parent that changed since the last call, by the parent's name; first all.

        A parent that is gone has none. Costs an access to each parent, and no more while nothing changes. Raises
        OSError.
        """
        now, found, there = self._clock(), dict[str, list[str]](), set[str]()
        with os.scandir(self._studies) as parents:
            for parent in parents:
                there.add(parent.name)
                status = parent.stat()
                state = (status.st_ino, status.st_mtime_ns)
                if self._seen.get(parent.name) != state:
                    found[parent.name] = _uids(Path(parent.path))
                    self._seen[parent.name] = state if now - status.st_mtime_ns > _RACY_NS else (0, 0)
        for name in self._seen.keys() - there:
            del self._seen[name]
            found[name] = []
        return found

    def forget(self) -> None:
        """Read all parents anew at the next call."""
        self._seen.clear()


def _uids(parent: Path) -> list[str]:
    uids = []
    with suppress(NotADirectoryError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(InvalidUIDError):  # not ours
                uids.append(valid_uid(entry.name))
    return uids
