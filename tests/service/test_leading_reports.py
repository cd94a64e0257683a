"""The process of reports whose host alone gets no objects: it gives its place back, and leads again later."""

from __future__ import annotations

from typing import cast

from tests.service.test_leadership import Moments, Place, by_a_clock
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.reports import _ready, _stop, _watch
from triage.spool.processes import LedElsewhereError

LEASE_S = 10.0


class Signal(Moments):
    """A signal to stop whose waits take no time."""

    def go_on(self, seconds: float) -> bool:
        self.wait(seconds)
        return not self.received


def test_reports_that_cannot_be_matched_here_are_left_to_another_host() -> None:
    place = Place()
    leadership, moments = by_a_clock(place)
    stopping = Signal()
    matching = ProgressWatch("matching", 60.0, moments)
    ended, _ = _stop(leadership, cast(StopSignal, stopping), matching)
    turns = list[bool]()

    def match() -> None:
        turns.append(place.held)
        while not ended():
            if len(turns) > 1:
                stopping.received = True
                continue
            matching.failed("the bucket does not answer")
            moments.now += LEASE_S / 2

    def look_at_a_manager() -> None:
        while not ended():
            pass

    _watch(leadership, [match, look_at_a_manager], cast(StopSignal, stopping), matching)
    assert turns == [True, True] and moments.waited == [LEASE_S]  # it let others look first
    assert not place.held


def test_a_host_without_anything_to_look_at_leads_once() -> None:
    place = Place()
    leadership, _ = by_a_clock(place)
    began = list[bool]()
    stopping = cast(StopSignal, Signal())
    _watch(leadership, [lambda: began.append(place.held)], stopping, ProgressWatch("matching", 60.0))
    assert began == [True] and not place.held


class TestReadiness:
    """Of a process with a port: each host receives, whichever one leads."""

    def test_a_standby_that_does_not_receive_is_not_ready(self) -> None:
        place = Place()
        place.faults = [LedElsewhereError("b")]
        leadership, _ = by_a_clock(place)
        said = list[tuple[bool, str]]()

        def stands_by() -> None:
            said.extend(_ready(leadership, port, lambda: (False, "starting")) for port in (True, False))

        with leadership.taken(stands_by):
            pass
        assert said == [(False, "starting"), (True, "standing by: sweep of host b leads")]

    def test_the_leader_says_once_what_it_does(self) -> None:
        leadership, _ = by_a_clock(Place())
        with leadership.taken():
            well, words = _ready(leadership, True, lambda: (True, "receiving reports"))
        assert well and words == "receiving reports; leads among all hosts"
