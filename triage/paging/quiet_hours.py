"""PURE: hours of the day in which another rota is paged, by the wall clock of the site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """The hours from ``begin`` up to ``end``, over midnight where ``begin`` is the later one.

    A moment is converted to the wall clock of ``zone``, which is unambiguous: an hour that summer time leaves out is
    not missed, and one that comes twice is quiet twice.
    """

    begin: time
    end: time
    zone: ZoneInfo

    def includes(self, moment: float) -> bool:
        """Return True if ``moment`` (POSIX seconds) is in these hours."""
        at = datetime.fromtimestamp(moment, UTC).astimezone(self.zone).time()
        if self.begin <= self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end
