"""Retention of unparsable objects in quarantine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from triage.operations.quarantine import expire
from triage.spool.spool import Spool

DAY = 24 * 3600.0


def _kept(spool: Spool, came: float) -> Path:
    part = spool.new_part()
    part.write_bytes(b"nonsense")
    kept = spool.quarantine(part, "no data set")
    os.utime(kept, (came, came))
    return kept


def _names(spool: Spool) -> set[str]:
    return {path.name for path in spool.quarantined.iterdir()}


def test_it_goes_with_its_note_once_it_was_too_old_twice_a_day_apart(spool: Spool) -> None:
    now = time.time()
    old, young = _kept(spool, now - 31 * DAY), _kept(spool, now - 20 * DAY)
    assert expire(spool, 30, now) == 0
    assert expire(spool, 30, now + DAY / 2) == 0
    assert old.exists()
    assert expire(spool, 30, now + DAY) == 1
    assert _names(spool) == {young.name, f"{young.stem}.json"}


def test_a_clock_that_jumps_ahead_and_back_removes_nothing(spool: Spool) -> None:
    now = time.time()
    kept = _kept(spool, now)
    for ahead in (40 * DAY, 40 * DAY + 30):
        assert expire(spool, 30, now + ahead) == 0
    assert expire(spool, 30, now + 60) == 0
    assert _names(spool) == {kept.name, f"{kept.stem}.json"}
    assert expire(spool, 30, now + 31 * DAY) == 0
    assert expire(spool, 30, now + 32 * DAY) == 1


def test_a_mark_from_the_future_counts_for_nothing(spool: Spool) -> None:
    now = time.time()
    _kept(spool, now - 31 * DAY)
    expire(spool, 30, now + 300 * DAY)
    assert [expire(spool, 30, now + days * DAY) for days in (0, 0.9, 1)] == [0, 0, 1]


@pytest.mark.parametrize("mark", ["", "nonsense", "nan"])
def test_a_damaged_mark_is_made_anew(spool: Spool, mark: str) -> None:
    now = time.time()
    kept = _kept(spool, now - 31 * DAY)
    kept.with_suffix(".old").write_text(mark)
    assert [expire(spool, 30, now + days * DAY) for days in (0, 0.5, 1.1)] == [0, 0, 1]
