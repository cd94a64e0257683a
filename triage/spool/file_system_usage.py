"""The state of a store in numbers: what waits in it, and the space of the file system under a spool of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path


@dataclass(frozen=True)
class SpoolUsage:
    """Bytes and inodes of the file system under the spool."""

    total_bytes: int
    free_bytes: int
    total_inodes: int
    free_inodes: int

    @property
    def used_fraction(self) -> float:
        """The used share of bytes or of inodes, whichever is larger, 0..1."""
        bytes_used = 1 - self.free_bytes / max(self.total_bytes, 1)
        inodes_used = 1 - self.free_inodes / self.total_inodes if self.total_inodes else 0.0
        return max(bytes_used, inodes_used)


@dataclass(frozen=True)
class FolderUsage:
    """The objects in one part of a store: number, total bytes, and the oldest's POSIX time (None: empty)."""

    objects: int
    size_bytes: int
    oldest: float | None


@dataclass(frozen=True)
class SpoolState:
    """The parts of a store that should be small, and how full it is."""

    inbox: FolderUsage
    dead: FolderUsage
    quarantine: FolderUsage
    usage: SpoolUsage
    undeleted: int = 0
    """Objects that nothing names any more, and that a bucket could not be made to delete for an hour."""


def folder_usage(folder: Path) -> FolderUsage:
    """Return the usage of the received objects in a folder. Raises OSError."""
    objects, size_bytes, oldest = 0, 0, inf
    for stat in _stats(folder):
        objects += 1
        size_bytes += stat.st_size
        # Written once, when it was received; a rename does not change its time.
        oldest = min(oldest, stat.st_mtime)
    return FolderUsage(objects, size_bytes, oldest if objects else None)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".dcm"):
                continue
            try:
                yield entry.stat()
            except FileNotFoundError:  # tagged meanwhile
                continue


def usage_of(path: Path) -> SpoolUsage:
    """Return the usage of the file system of ``path``. Raises OSError."""
    stat = os.statvfs(path)
    return SpoolUsage(
        total_bytes=stat.f_blocks * stat.f_frsize,
        free_bytes=stat.f_bavail * stat.f_frsize,
        total_inodes=stat.f_files,
        free_inodes=stat.f_favail,
    )
