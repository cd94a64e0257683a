"""Received objects as files: those that are there, and those that are being received."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from triage.runtime.storage import begin_writing_out

_LARGE = 1 << 20  # bytes


@dataclass(frozen=True)
class FileObject:
    """A received object in a file of the spool; see ``StoredObject``."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Its name in log lines."""
        return self.path.name

    def open(self, mode: Literal["rb"] = "rb", /) -> BinaryIO:
        """Open it for reading. Raises FileNotFoundError if it has moved meanwhile, OSError."""
        return self.path.open(mode)

    def read_bytes(self) -> bytes:
        """Return all of it. Raises as ``open``."""
        return self.path.read_bytes()

    def size(self) -> int:
        """Return the number of bytes. Raises as ``open``."""
        return self.path.stat().st_size

    def received_at(self) -> float:
        """Return when it was received, in POSIX seconds: a rename does not change it. Raises as ``open``."""
        return self.path.stat().st_mtime

    def received_by_store(self) -> None:
        """Return None: one host received all, and its receipt has the time."""

    def lasting_path(self) -> str:
        """Return the path of the file."""
        return str(self.path)


class FileUpload:
    """An object that is being received into a file of incoming/; see ``Upload``. ``descriptor`` is -1 once released."""

    def __init__(self, part: Path) -> None:
        """Make the file. Raises OSError."""
        self.part = part
        self.descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written = self._on_its_way = 0

    def write(self, data: memoryview) -> None:
        """Append bytes. Raises OSError."""
        self._written += len(data)
        while data:
            data = data[os.write(self.descriptor, data) :]
        waiting = self._written - self._on_its_way
        if waiting >= _LARGE:  # the fsync of a large object must not begin with all of it
            begin_writing_out(self.descriptor, self._on_its_way, waiting)
            self._on_its_way = self._written

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open what was written so far for reading, from its start. Raises OSError."""
        # A descriptor has no Path.
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            yield file

    def discard(self) -> None:
        """Close the file, and remove it unless it has been moved."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            with suppress(OSError):  # gone if it was stored; otherwise what cannot be removed is worthless, not harmful
                self.part.unlink(missing_ok=True)
