"""What is a jump of the clock, and how long nothing that cannot be undone is done after one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from triage.service.clock_watch import ClockWatch
from triage.spool.clock import STEADY_S, Clock, ClockState, Instant, next_state
from triage.spool.spool import Spool

HOUR, DAY = 3600.0, 24 * 3600.0
START = Instant(1_000_000.0, 5_000.0, "boot")


def after(state: ClockState | None, seconds: float, *, set_by: float = 0.0, boot: str = "boot") -> Instant:
    """The moment so many seconds after a state, the clock set by ``set_by`` meanwhile."""
    before = state or ClockState(START.at, START.since_boot, START.boot)
    return Instant(before.at + seconds + set_by, before.since_boot + seconds, boot)


def watched(seconds: float, state: ClockState | None = None) -> ClockState:
    """A state after a look each half hour."""
    state = state or next_state(None, START)
    for _ in range(round(seconds / (HOUR / 2))):
        state = next_state(state, after(state, HOUR / 2))
    return state


def test_a_clock_is_steady_after_a_day_of_looks() -> None:
    assert not next_state(None, START).is_steady
    assert not watched(23 * HOUR).is_steady
    assert watched(DAY).is_steady
    assert not watched(DAY).has_jumped


@pytest.mark.parametrize("set_by", [40 * DAY, DAY, HOUR, 90.0, -90.0, -HOUR, -40 * DAY])
def test_a_clock_that_was_set_is_not_steady_for_a_day(set_by: float) -> None:
    state = watched(2 * DAY)
    jumped = next_state(state, after(state, 30.0, set_by=set_by))
    assert jumped.has_jumped
    assert not jumped.is_steady
    back = next_state(jumped, after(jumped, 8.0, set_by=-set_by))
    assert not back.is_steady
    assert not watched(23 * HOUR, back).is_steady
    assert watched(DAY, back).is_steady


@pytest.mark.parametrize("set_by", [2.0, -2.0, 50.0])
def test_what_a_time_server_corrects_is_no_jump(set_by: float) -> None:
    state = watched(2 * DAY)
    assert next_state(state, after(state, 30.0, set_by=set_by)).is_steady


def test_a_gap_without_a_look_is_a_jump_even_where_the_time_since_boot_agrees() -> None:
    """A virtual machine that was paused, and a program that is told a wrong time by both clocks, look the same."""
    state = watched(2 * DAY)
    assert next_state(state, after(state, 3 * HOUR)).has_jumped


def test_a_machine_that_was_switched_off_over_the_weekend_has_a_clock_that_is_believed() -> None:
    state = watched(2 * DAY)
    assert next_state(state, after(state, 3 * DAY, boot="another")).is_steady
    assert next_state(state, after(state, 5 * DAY, boot="another")).has_jumped
    assert next_state(state, after(state, -5 * DAY, boot="another")).has_jumped


def test_what_a_person_says_holds_until_the_next_jump(spool: Spool) -> None:
    now = [START]
    clock = Clock(spool, lambda _: now[0])
    assert not clock.poll().is_steady
    assert clock.trust().is_steady
    now[0] = after(clock.read(), 30.0)
    assert clock.poll().is_steady
    assert not clock.in_doubt()
    now[0] = after(clock.read(), 30.0, set_by=40 * DAY)
    assert clock.in_doubt()
    assert clock.poll().has_jumped
    assert clock.in_doubt()
    assert clock.trust().is_steady
    assert not clock.in_doubt()


def test_what_cannot_be_read_counts_as_never_looked_at(spool: Spool) -> None:
    (spool.root / "control" / "clock.json").write_text('{"at": 1')
    assert not Clock(spool).in_doubt()
    assert not Clock(spool).poll().is_steady
    assert STEADY_S == DAY


@pytest.mark.parametrize("value", ['"x"', "null", "[]", "NaN", "1e999", "true"])
@pytest.mark.parametrize("name", ["at", "since_boot", "steady_s", "jump_s"])
def test_a_note_that_no_sweep_wrote_is_none_and_stops_no_sweep(spool: Spool, name: str, value: str) -> None:
    Clock(spool).poll()
    path = spool.root / "control" / "clock.json"
    noted = {**json.loads(path.read_text()), name: "HERE"}
    path.write_text(json.dumps(noted).replace('"HERE"', value))
    assert Clock(spool).read() is None
    assert not Clock(spool).poll().is_steady


@pytest.mark.parametrize("off_s", [90.0, 3 * DAY, -90.0, -3 * DAY])
def test_a_machine_whose_clock_is_not_the_stores_removes_nothing_whatever_the_time_did(
    spool: Spool, caplog: pytest.LogCaptureFixture, off_s: float
) -> None:
    now = [START]
    clock = Clock(spool, lambda _: now[0])
    clock.trust()
    watch = ClockWatch(spool, clock)
    assert watch.look() == (START.at, True) and not watch.is_doubted and not clock.in_doubt()
    now[0] = replace(START, off_s=off_s)
    assert [watch.look(), watch.look()] == [(START.at, False)] * 2
    assert watch.is_doubted and clock.in_doubt()
    assert caplog.text.count("from the database's") == 1
    now[0] = replace(START, off_s=30.0)
    assert watch.look() == (START.at, True) and not watch.is_doubted
