"""Pauses of studies that failed: how they grow, and that no clock makes them longer."""

from __future__ import annotations

import itertools

from triage.delivery.put_off import PutOff


def tries_of(put_off: PutOff, until_s: float) -> list[float]:
    """The seconds at which a study that fails each time is tried."""
    tried = []
    for now in range(int(until_s)):
        if put_off.is_due("1.2", float(now)):
            tried.append(float(now))
            put_off.add("1.2", float(now))
    return tried


def test_pauses_are_half_a_minute_at_first_and_grow_to_the_longest() -> None:
    tried = tries_of(PutOff(longest_s=120.0), 20_000.0)
    pauses = [later - before for before, later in itertools.pairwise(tried)]
    assert tried[:4] == [0.0, 30.0, 60.0, 90.0]
    assert all(pause == 30.0 for at, pause in zip(tried, pauses, strict=False) if at <= 900.0)
    assert pauses == sorted(pauses) and pauses[-1] == 120.0


def test_a_destination_that_is_tried_more_often_has_studies_wait_half_a_minute_all_the_same() -> None:
    assert tries_of(PutOff(longest_s=5.0), 100.0) == [0.0, 30.0, 60.0, 90.0]


def test_a_clock_that_is_set_back_ends_a_pause() -> None:
    put_off = PutOff(longest_s=900.0)
    put_off.add("1.2", 1_000_000.0)
    put_off.all(1_000_000.0)
    assert not put_off.is_due("1.2", 1_000_010.0)
    assert put_off.is_due("1.2", 1_000_010.0 - 3600.0)


def test_what_is_done_or_asked_for_no_more_is_forgotten() -> None:
    put_off = PutOff(longest_s=900.0)
    for study in ("1.2", "1.3", "1.4"):
        put_off.add(study, 0.0, may_leave=study != "1.3")
    assert (put_off.may_leave("1.2"), put_off.may_leave("1.3"), put_off.may_leave("1.9")) == (True, False, True)
    put_off.remove("1.2")
    put_off.keep_only({"1.3"})
    assert [put_off.has(study) for study in ("1.2", "1.3", "1.4")] == [False, True, False]
