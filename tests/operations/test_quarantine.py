"""Retention of unparsable objects in quarantine."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from triage.operations.quarantine import expire
from triage.spool.file_entries import FileEntries
from triage.spool.file_system_usage import folder_usage
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


def test_memory_does_not_grow_with_what_is_kept(spool: Spool) -> None:
    """A sender that is no DICOM may fill it with hundreds of thousands until they are too old."""

    def peaks() -> tuple[int, int]:
        found = []
        for look in (lambda: expire(spool, 30, now), lambda: folder_usage(spool.quarantined)):
            tracemalloc.start()
            look()
            found.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return found[0], found[1]

    now = time.time()
    for number in range(20):
        (spool.quarantined / f"{number}.dcm").touch()
    peaks()  # what is allocated once
    few = peaks()
    for number in range(3000):
        (spool.quarantined / f"x{number}.dcm").touch()
    assert max(many / before for many, before in zip(peaks(), few, strict=True)) < 4


def test_what_is_young_costs_no_request_each(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store in a database each would be a transaction, at each sweep."""
    now = time.time()
    for _ in range(3):
        _kept(spool, now)
    old = _kept(spool, now - 31 * DAY)
    asked = list[str]()
    for act in ("get", "put", "remove"):
        real = getattr(FileEntries, act)
        monkeypatch.setattr(FileEntries, act, lambda *given, real=real: asked.append(given[1]) or real(*given))
    assert expire(spool, 30, now) == 0
    assert asked == [f"{old.stem}.old"]


@pytest.mark.parametrize("mark", ["", "nonsense", "nan"])
def test_a_damaged_mark_is_made_anew(spool: Spool, mark: str) -> None:
    now = time.time()
    kept = _kept(spool, now - 31 * DAY)
    kept.with_suffix(".old").write_text(mark)
    assert [expire(spool, 30, now + days * DAY) for days in (0, 0.5, 1.1)] == [0, 0, 1]
