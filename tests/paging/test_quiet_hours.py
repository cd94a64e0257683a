"""Quiet hours by the wall clock, on the days on which it jumps."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from triage.paging.quiet_hours import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")


def quiet_minutes(hours: QuietHours, begin: datetime, length_h: int) -> int:
    """How many minutes of the hours after ``begin`` are quiet."""
    moments = (begin + timedelta(minutes=each) for each in range(length_h * 60))
    return sum(hours.includes(each.timestamp()) for each in moments)


@pytest.mark.parametrize(
    ("begin", "end", "day", "minutes"),
    [
        ("22:00", "07:00", datetime(2026, 1, 15, 11, tzinfo=UTC), 9 * 60),
        ("22:00", "07:00", datetime(2026, 3, 28, 11, tzinfo=UTC), 8 * 60),  # the hour from 2 to 3 is left out
        ("22:00", "07:00", datetime(2026, 10, 24, 10, tzinfo=UTC), 10 * 60),  # it comes twice
        ("02:00", "03:00", datetime(2026, 3, 28, 11, tzinfo=UTC), 0),
        ("02:00", "03:00", datetime(2026, 10, 24, 10, tzinfo=UTC), 120),
        ("12:00", "13:30", datetime(2026, 3, 28, 23, tzinfo=UTC), 90),
        ("00:00", "23:59", datetime(2026, 1, 15, 11, tzinfo=UTC), 24 * 60 - 1),
    ],
)
def test_a_night_has_its_hours_when_the_wall_clock_jumps(begin: str, end: str, day: datetime, minutes: int):
    hours = QuietHours(time.fromisoformat(begin), time.fromisoformat(end), BERLIN)
    assert quiet_minutes(hours, day, 24) == minutes
