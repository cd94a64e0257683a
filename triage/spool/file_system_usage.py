"""Used and free space of the file system under the spool."""

from __future__ import annotations

import os
from dataclasses import dataclass
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


def usage_of(path: Path) -> SpoolUsage:
    """Return the usage of the file system of ``path``. Raises OSError."""
    stat = os.statvfs(path)
    return SpoolUsage(
        total_bytes=stat.f_blocks * stat.f_frsize,
        free_bytes=stat.f_bavail * stat.f_frsize,
        total_inodes=stat.f_files,
        free_inodes=stat.f_favail,
    )
