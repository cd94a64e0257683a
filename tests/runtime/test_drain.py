"""The time in which a process that is told to stop still takes new work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.wait import wait_for
from triage.runtime.drain import Drain
from triage.runtime.stop_signal import StopSignal


@pytest.fixture
def stopping() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal()
    for number, handler in before.items():
        signal.signal(number, handler)


def told(stopping: StopSignal) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(lambda: stopping.received, "the signal")


def test_without_time_it_is_over_with_the_signal(stopping: StopSignal) -> None:
    drain = Drain(stopping, 0.0)
    assert not drain.has_begun and not drain.is_over
    told(stopping)
    assert drain.has_begun and drain.is_over


def test_work_is_taken_while_it_lasts_and_not_after(stopping: StopSignal) -> None:
    short, long = Drain(stopping, 0.2), Drain(stopping, 3600.0)
    told(stopping)
    assert short.has_begun and not long.is_over
    wait_for(lambda: short.is_over, "the end of the time")
    assert not long.is_over
