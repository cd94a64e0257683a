"""What all processes share, as it stands now: for the sweep's gauges, the web's status and ``triage explain``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from triage.metrics.process import StateMetrics
from triage.spool.spool import ReceivedInstance, Spool, SpoolUsage


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


def oldest_awaited(
    spool: Spool, is_of_priors: Callable[[Sequence[ReceivedInstance]], list[bool]], at_once: int = 1000
) -> float:
    """When the oldest object came that waits and is no prior, in POSIX seconds; 0 if none waits."""
    oldest = 0.0
    waiting = spool.waiting()
    while some := list(islice(waiting, at_once)):
        for instance, prior in zip(some, is_of_priors(some), strict=True):
            if not prior:
                with suppress(FileNotFoundError):  # tagged meanwhile
                    came = spool.inbox_path(instance).stat().st_mtime
                    oldest = min(oldest or came, came)
    return oldest


def export_state(state: SpoolState, metrics: StateMetrics, oldest_awaited_at: float | None = None) -> None:
    """Set the gauges that describe the spool. ``oldest_awaited_at``: without priors; None: of all that waits."""
    usage = state.usage
    metrics.spool_total_bytes.set(usage.total_bytes)
    metrics.spool_free_bytes.set(usage.free_bytes)
    metrics.spool_total_inodes.set(usage.total_inodes)
    metrics.spool_free_inodes.set(usage.free_inodes)
    for name, folder in {"inbox": state.inbox, "dead": state.dead, "quarantine": state.quarantine}.items():
        metrics.spool_bytes.labels(name).set(folder.size_bytes)
    metrics.inbox_objects.set(state.inbox.objects)
    metrics.oldest_untagged.set((state.inbox.oldest or 0) if oldest_awaited_at is None else oldest_awaited_at)
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
