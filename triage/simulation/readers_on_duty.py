"""The number of readers on duty in each hour of the week."""

from __future__ import annotations

from collections.abc import Sequence

from triage.simulation.time_units import HOUR, HOURS


def by_hour_of_week(values: float | Sequence[float]) -> list[float]:
    """Return 168 numbers from one number, one for each hour of a day, or one for each hour of the week.

    The week begins on Monday at 00:00. Raises ValueError for another count.
    """
    listed = list(values) if isinstance(values, Sequence) else [values]
    if len(listed) not in (1, 24, HOURS):
        raise ValueError(f"give 1, 24 or {HOURS} numbers, not {len(listed)}")
    return [float(value) for value in listed * (HOURS // len(listed))]


class DutyRoster:
    """Readers 0, 1, ... of whom the first ``counts[hour]`` are on duty in that hour of the week.

    ``counts``: 168 whole numbers, at least one of them positive. No study is read before the minute ``opens``. Time is
    in minutes since a Monday 00:00.
    """

    def __init__(self, counts: Sequence[int], opens: float = 0.0) -> None:
        if len(counts) != HOURS or min(counts) < 0 or max(counts) == 0:
            raise ValueError(f"readers on duty: {HOURS} counts of 0 or more, and one above 0")
        self.readers = max(counts)
        self.opens = opens
        self.always = min(counts) == self.readers
        self.mean = sum(counts) / HOURS
        self._hours_off = [_hours_off([count > reader for count in counts]) for reader in range(self.readers)]

    @classmethod
    def constant(cls, readers: int) -> DutyRoster:
        """Return a roster with the same number of readers day and night."""
        return cls([readers] * HOURS)

    def next_on(self, reader: int, minute: float) -> float:
        """Return ``minute`` if the reader is on duty then, else the begin of their next duty."""
        minute = max(minute, self.opens)
        hour = int(minute // HOUR)
        off = self._hours_off[reader][hour % HOURS]
        return (hour + off) * HOUR if off else minute


def _hours_off(on: Sequence[bool]) -> list[int]:
    """Return for each hour of the week the hours until the reader is next on duty; 0 during duty."""
    off, until = [0] * HOURS, 0
    for hour in range(2 * HOURS - 1, -1, -1):  # twice round, so that Sunday night knows of Monday
        until = 0 if on[hour % HOURS] else until + 1
        off[hour % HOURS] = until
    return off
