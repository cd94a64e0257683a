"""What a storage hands to a backup and takes back from one: small, so that another storage can bring its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

Known = Callable[[str, int, int], bool]
"""Whether the last backup has the content of an identity, by size and time of its last change in nanoseconds."""


@dataclass(frozen=True)
class BackupItem:
    """One file, as it is to be restored. A ``path`` that ends with a slash is a folder, kept for its time and mode.

    ``identity`` is what it is called wherever it lies; a later item of the same identity takes its place.
    ``open`` gives at least ``size`` bytes, of which the first ``size`` count. FileNotFoundError: it was removed.
    """

    path: str
    size: int
    mode: int
    modified_ns: int
    open: Callable[[], BinaryIO]
    identity: str = ""

    @property
    def name(self) -> str:
        """The identity, which is the path unless it can move."""
        return self.identity or self.path


class Readable(Protocol):
    """A content that is read once."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        ...


class BackupSource(Protocol):
    """A storage that is backed up while it is in use."""

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """Everything, in groups that are consistent in themselves and together are a state to start from.

        Of a group in which something was removed meanwhile nothing is kept. What is ``known`` need not be read.
        """
        ...


class RestoreTarget(Protocol):
    """Where a backup is restored to."""

    def put(self, path: str, mode: int, modified_ns: int, content: Readable | None) -> None:
        """Take back one file, or a folder if there is no content. Folders come after what is in them."""
        ...

    def finish(self) -> None:
        """Everything is there and as it was: make it durable, and let it be used."""
        ...


def file_item(path: str, file: Path, identity: str = "") -> BackupItem:
    """An item of a file whose content never changes; it is opened when it is read. Raises FileNotFoundError."""
    status = file.stat()
    return BackupItem(
        path, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: file.open("rb"), identity
    )


def read_item(path: str, file: Path, known: Known) -> BackupItem:
    """An item of a file that changes: read now, unless the last backup has it. Raises FileNotFoundError."""
    with file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        content = b"" if known(path, status.st_size, status.st_mtime_ns) else opened.read(status.st_size)
    return BackupItem(path, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns, lambda: BytesIO(content))


def folder_item(path: str, folder: Path) -> BackupItem:
    """An item of a folder. Raises FileNotFoundError."""
    status = folder.stat()
    return BackupItem(path + "/", 0, stat.S_IMODE(status.st_mode), status.st_mtime_ns, BytesIO)


def unreadable(path: str, error: Exception) -> BackupItem:
    """An item that stands for what could not be read, so that the backup says it and goes on with all else."""

    def opened() -> BinaryIO:
        raise OSError(getattr(error, "errno", None) or 0, getattr(error, "strerror", None) or type(error).__name__)

    return BackupItem(path, -1, 0, 0, opened)
