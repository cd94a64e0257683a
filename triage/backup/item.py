"""The interface between storages and backups; small, so that another storage can implement it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from triage.errors import cause

Known = Callable[[str, int, int], bool]
"""Returns whether the last backup has a content, by identity, size, and time of its last change in nanoseconds."""


@dataclass(frozen=True)
class BackupItem:
    """One file to back up. A ``path`` that ends with a slash is a folder, stored for its time and mode.

    ``identity`` names the content wherever its file is moved; a later item of the same identity replaces it.
    ``open`` returns at least ``size`` bytes, of which the first ``size`` are stored; it raises FileNotFoundError if the
    file was removed.
    """

    path: str
    size: int
    mode: int
    modified_ns: int
    open: Callable[[], BinaryIO]
    identity: str = ""

    @property
    def name(self) -> str:
        """The identity, or the path of a file that never moves."""
        return self.identity or self.path


class Readable(Protocol):
    """Content that is read once."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most ``size``; none at the end."""
        ...


class BackupSource(Protocol):
    """A storage that is backed up while it is in use."""

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """Yield everything, in groups that are each consistent and together form a state to start from.

        A group of which a file was removed meanwhile is left out. Content that is ``known`` need not be read.
        """
        ...


class RestoreTarget(Protocol):
    """Target of a restore."""

    def put(self, path: str, mode: int, modified_ns: int, content: Readable | None) -> None:
        """Restore one file, or a folder if ``content`` is None. Folders come after their files."""
        ...

    def finish(self) -> None:
        """Make the restored files durable, and let them be used; called when all are there."""
        ...


def file_item(path: str, file: Path, identity: str = "") -> BackupItem:
    """Return an item of a file whose content never changes; opened when it is read. Raises FileNotFoundError."""
    status = file.stat()
    return BackupItem(
        path, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: file.open("rb"), identity
    )


def read_item(path: str, file: Path, known: Known) -> BackupItem:
    """Return an item of a file that changes: read now, unless the last backup has it. Raises FileNotFoundError."""
    with file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        content = b"" if known(path, status.st_size, status.st_mtime_ns) else opened.read(status.st_size)
    return BackupItem(path, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: BytesIO(content))


def folder_item(path: str, folder: Path) -> BackupItem:
    """Return an item of a folder. Raises FileNotFoundError."""
    status = folder.stat()
    return BackupItem(path + "/", 0, stat.S_IMODE(status.st_mode), status.st_mtime_ns, BytesIO)


def unreadable(path: str, error: Exception) -> BackupItem:
    """Return an item for a file that could not be read: the backup reports it and goes on with the others."""

    def opened() -> BinaryIO:
        raise OSError(getattr(error, "errno", None) or 0, cause(error))

    return BackupItem(path, -1, 0, 0, opened)
