"""What all processes share, as it stands now: for the sweep's gauges, the web's status and ``triage explain``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.metrics import StateMetrics
from triage.spool import Spool, SpoolUsage


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


def export_state(state: SpoolState, metrics: StateMetrics) -> None:
    """Set the gauges that describe the spool."""
    usage = state.usage
    metrics.spool_total_bytes.set(usage.total_bytes)
    metrics.spool_free_bytes.set(usage.free_bytes)
    metrics.spool_total_inodes.set(usage.total_inodes)
    metrics.spool_free_inodes.set(usage.free_inodes)
    for name, folder in {"inbox": state.inbox, "dead": state.dead, "quarantine": state.quarantine}.items():
        metrics.spool_bytes.labels(name).set(folder.size_bytes)
    metrics.inbox_objects.set(state.inbox.objects)
    metrics.oldest_untagged.set(state.inbox.oldest or 0)
    metrics.dead_letters.set(state.dead.objects)
    metrics.quarantined.set(state.quarantine.objects)


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
