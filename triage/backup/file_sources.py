"""Sources of a backup next to the spool: settings file, users, models and audit trail."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from triage.backup.item import BackupItem, Known, file_item, read_item
from triage.runtime.file_lock import file_lock


@dataclass(frozen=True)
class FileSource:
    """One file that is replaced whole, stored as ``place``; it may be missing."""

    file: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``BackupSource``."""
        with suppress(FileNotFoundError):
            yield (read_item(self.place, self.file, known),)


@dataclass(frozen=True)
class FolderSource:
    """A folder of files that do not change while they are used; a model is one group."""

    folder: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``BackupSource``."""
        for entry in sorted(self.folder.iterdir()):
            files = [each for each in sorted(entry.rglob("*")) if each.is_file()] if entry.is_dir() else [entry]
            yield [file_item(f"{self.place}/{each.relative_to(self.folder).as_posix()}", each) for each in files]


@dataclass(frozen=True)
class AuditTrailSource:
    """The audit trail with its rotated files. Read last: an act that is in the backup is in its trail."""

    file: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``BackupSource``."""
        if not self.file.parent.is_dir():
            return
        with file_lock(self.file.with_name(f".{self.file.name}.lock")):  # nothing is written or rotated meanwhile
            rotated = sorted(self.file.parent.glob(f"{self.file.stem}-*{self.file.suffix}"))
            items = [file_item(f"{self.place}/audit{each.name.removeprefix(self.file.stem)}", each) for each in rotated]
            with suppress(FileNotFoundError):
                items.append(_present_content(self.file, f"{self.place}/audit{self.file.suffix}", known))
        yield items


def _present_content(file: Path, place: str, known: Known) -> BackupItem:
    """Return an item of the present content of a growing file, held open: it may be rotated before it is read."""
    status = file.stat()
    if known(place, status.st_size, status.st_mtime_ns):
        return file_item(place, file)
    opened = file.open("rb")
    return BackupItem(place, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: opened)
