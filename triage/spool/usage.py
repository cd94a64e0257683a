"""What all processes share, as it stands now: for the sweep's gauges, the web's status and ``triage explain``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.spool.spool import Spool, SpoolUsage


@dataclass(frozen=True)
class Folder:
    """The objects in one folder of the spool: how many, how large together, the oldest's POSIX time (None: empty)."""

    objects: int
    size_bytes: int
    oldest: float | None


@dataclass(frozen=True)
class SpoolState:
    """The parts of the spool that should be small, and the file system under it."""

    inbox: Folder
    dead: Folder
    quarantine: Folder
    usage: SpoolUsage


def read_state(spool: Spool) -> SpoolState:
    """Look at every object that waits, and at none that is done: the cost does not grow with the studies kept."""
    return SpoolState(
        inbox=_look(spool.inbox), dead=_look(spool.dead), quarantine=_look(spool.quarantined), usage=spool.usage()
    )


def _look(folder: Path) -> Folder:
    stats = list(_stats(folder))
    return Folder(
        objects=len(stats),
        size_bytes=sum(stat.st_size for stat in stats),
        # Written once, when it was received; renaming does not touch it.
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
    """When the spool is too full to take more; see the settings of the spool."""

    fraction: float
    min_free_bytes: int

    def reached(self, spool: Spool) -> bool:
        """Whether the file system under the spool is too full now."""
        usage = spool.usage()
        return usage.used_fraction > self.fraction or usage.free_bytes < self.min_free_bytes
