"""The state of the spool now, for the sweep's gauges, the web's status and ``triage explain``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.spool.file_system_usage import SpoolUsage
from triage.spool.spool import Spool


@dataclass(frozen=True)
class FolderUsage:
    """The objects in one folder of the spool: number, total bytes, and the oldest's POSIX time (None: empty)."""

    objects: int
    size_bytes: int
    oldest: float | None


@dataclass(frozen=True)
class SpoolState:
    """The parts of the spool that should be small, and the file system under it."""

    inbox: FolderUsage
    dead: FolderUsage
    quarantine: FolderUsage
    usage: SpoolUsage


def read_state(spool: Spool) -> SpoolState:
    """Return the state. Reads no study, so that the cost does not grow with the studies kept."""
    return SpoolState(
        inbox=_measure(spool.inbox),
        dead=_measure(spool.dead),
        quarantine=_measure(spool.quarantined),
        usage=spool.usage(),
    )


def oldest_waiting(spool: Spool) -> float | None:
    """Return when the oldest object in the inbox was received, in POSIX seconds; None if none waits."""
    return _measure(spool.inbox).oldest


def _measure(folder: Path) -> FolderUsage:
    stats = list(_stats(folder))
    return FolderUsage(
        objects=len(stats),
        size_bytes=sum(stat.st_size for stat in stats),
        # Written once, when it was received; a rename does not change its time.
        oldest=min((stat.st_mtime for stat in stats), default=None),
    )


def _stats(folder: Path) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".dcm"):
                continue
            try:
                yield entry.stat()
            except FileNotFoundError:  # tagged meanwhile
                continue


@dataclass(frozen=True)
class HighWater:
    """The fill level at which no more objects are received; see the settings of the spool."""

    fraction: float
    min_free_bytes: int

    def reached(self, spool: Spool) -> bool:
        """Return whether the file system under the spool is too full now."""
        usage = spool.usage()
        return usage.used_fraction > self.fraction or usage.free_bytes < self.min_free_bytes
