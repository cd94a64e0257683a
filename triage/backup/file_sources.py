"""What lies beside the spool: the settings file, the users, the models, the audit trail."""

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
    """One file that is replaced whole, under the name ``place``; there may be none."""

    file: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``Source``."""
        with suppress(FileNotFoundError):
            yield (read_item(self.place, self.file, known),)


@dataclass(frozen=True)
class FolderSource:
    """A folder of files that do not change while they are in use: a model is one group."""

    folder: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``Source``."""
        for entry in sorted(self.folder.iterdir()):
            files = [each for each in sorted(entry.rglob("*")) if each.is_file()] if entry.is_dir() else [entry]
            yield [file_item(f"{self.place}/{each.relative_to(self.folder).as_posix()}", each) for each in files]


@dataclass(frozen=True)
class AuditTrailSource:
    """The audit trail with what was moved aside. Read last: an act that is in the backup is in its trail."""

    file: Path
    place: str

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``Source``."""
        if not self.file.parent.is_dir():
            return
        with file_lock(self.file.with_name(f".{self.file.name}.lock")):  # nothing is written or moved aside meanwhile
            aside = sorted(self.file.parent.glob(f"{self.file.stem}-*{self.file.suffix}"))
            items = [file_item(f"{self.place}/audit{each.name.removeprefix(self.file.stem)}", each) for each in aside]
            with suppress(FileNotFoundError):
                items.append(_as_long_as_now(self.file, f"{self.place}/audit{self.file.suffix}", known))
        yield items


def _as_long_as_now(file: Path, place: str, known: Known) -> BackupItem:
    """What is in a file that grows, held open until it is read: it may be moved aside before."""
    status = file.stat()
    if known(place, status.st_size, status.st_mtime_ns):
        return file_item(place, file)
    opened = file.open("rb")
    return BackupItem(place, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: opened)
