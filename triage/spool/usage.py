"""The state of the store now, for the sweep's gauges, the web's status and ``triage explain``."""

from __future__ import annotations

from dataclasses import dataclass

from triage.spool.file_system_usage import SpoolState
from triage.spool.store import Store


def read_state(spool: Store) -> SpoolState:
    """Return the state. Reads no study, so that the cost does not grow with the studies kept."""
    return spool.state()


def oldest_waiting(spool: Store) -> float | None:
    """Return when the oldest object in the inbox was received, in POSIX seconds; None if none waits."""
    return spool.oldest_waiting()


@dataclass(frozen=True)
class HighWater:
    """The fill level at which no more objects are received; see the settings of the spool."""

    fraction: float
    min_free_bytes: int

    def reached(self, spool: Store) -> bool:
        """Return whether it is too full now."""
        usage = spool.usage()
        return usage.used_fraction > self.fraction or usage.free_bytes < self.min_free_bytes
