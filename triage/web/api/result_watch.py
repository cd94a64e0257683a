"""Watch for results that stop coming: a list that does not change looks like one of a quiet day."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from triage.spool.usage import oldest_waiting
from triage.web.api.sources import Sources

STOPPED_AFTER_S = 120.0
"""Seconds that an object waits, and no study is tagged, until results count as stopped. Scoring takes a few."""
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True)
class Stopped:
    """No results come. ``since``: time of the last one in POSIX seconds, or of the first object that waits."""

    since: float


def stopped_by(oldest_waiting_at: float | None, last_result_at: float | None, now: float) -> Stopped | None:
    """Return since when no results come; None while they do, or nothing waits for one. Times in POSIX seconds."""
    if oldest_waiting_at is None or now - oldest_waiting_at < STOPPED_AFTER_S:
        return None
    if last_result_at is None:
        return Stopped(oldest_waiting_at)
    return Stopped(last_result_at) if now - last_result_at >= STOPPED_AFTER_S else None


@dataclass
class ResultWatch:
    """Looks at the inbox every five seconds at most: that costs an access to every object in it."""

    sources: Sources
    _looked_at: float = float("-inf")
    _oldest: float | None = field(default=None)

    def stopped(self) -> Stopped | None:
        """Return since when no results come; None while they do. Raises RedisError."""
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._oldest, self._looked_at = oldest_waiting(self.sources.spool), time.monotonic()
        return stopped_by(self._oldest, self.sources.worklist.last_result_at(), self.sources.now())
