"""When readers are on duty: how many in each hour of the week."""

from __future__ import annotations

from collections.abc import Sequence

HOURS = 168
HOUR = 60.0  # minutes


def by_hour_of_week(values: float | Sequence[float]) -> list[float]:
    """One number, one for each hour of a day or one for each hour of the week (Monday 00:00 first), as 168 numbers.

    Raises ValueError for another count.
    """
    listed = list(values) if isinstance(values, Sequence) else [values]
    if len(listed) not in (1, 24, HOURS):
        raise ValueError(f"give 1, 24 or {HOURS} numbers, not {len(listed)}")
    return [float(value) for value in listed * (HOURS // len(listed))]


class Duty:
    """Readers 0, 1, ... of whom the first ``counts[hour]`` are on duty in that hour of the week.

    ``counts``: 168 whole numbers, at least one of them positive; time is in minutes since a Monday 00:00. Nobody reads
    before the minute ``opens``.
    """

    def __init__(self, counts: Sequence[int], opens: float = 0.0) -> None:
        if len(counts) != HOURS or min(counts) < 0 or max(counts) == 0:
            raise ValueError(f"readers on duty: {HOURS} counts of 0 or more, and somebody at some time")
        self.readers = max(counts)
        self.opens = opens
        self.always = min(counts) == self.readers
        self.mean = sum(counts) / HOURS
        self._hours_off = [_hours_off([count > reader for count in counts]) for reader in range(self.readers)]

    @classmethod
    def constant(cls, readers: int) -> Duty:
        """So many readers day and night."""
        return cls([readers] * HOURS)

    def next_on(self, reader: int, minute: float) -> float:
        """``minute`` itself if the reader is on duty then, else when his next duty begins."""
        minute = max(minute, self.opens)
        hour = int(minute // HOUR)
        off = self._hours_off[reader][hour % HOURS]
        return (hour + off) * HOUR if off else minute


def _hours_off(on: Sequence[bool]) -> list[int]:
    """For each hour of the week, how many hours until the next one in which the reader is on; 0 in those."""
    off, until = [0] * HOURS, 0
    for hour in range(2 * HOURS - 1, -1, -1):  # twice round, so that Sunday night knows of Monday
        until = 0 if on[hour % HOURS] else until + 1
        off[hour % HOURS] = until
    return off
