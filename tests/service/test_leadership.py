"""The place of a leader that its process takes anew after an error, and the status of one whose place was lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from triage.errors import EXIT_LEAD_LOST
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.leadership import Leadership
from triage.settings.sections.store import StoreSettings
from triage.spool.processes import LeaseLostError


class Place:
    """The workers of a store: one place, which is held or free."""

    def __init__(self) -> None:
        self.held = self.lost = False
        self.is_certain = True
        self.faults: list[Exception] = []

    @contextmanager
    def lead(self, name: str) -> Iterator[Place]:
        if self.faults:
            raise self.faults.pop()
        self.held = True
        try:
            yield self
        finally:
            self.held = False


@pytest.fixture
def stopping() -> Iterator[StopSignal]:
    with StopSignal.meanwhile() as received:
        yield received


class Moments:
    """A clock that is set, and a signal to stop whose waits pass on it."""

    def __init__(self) -> None:
        self.now, self.waited = 100.0, list[float]()
        self.received = False

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def leadership(place: Place, stopping: StopSignal) -> Leadership:
    spool: Any = SimpleNamespace(workers=place)
    return Leadership("reports", StoreSettings(kind="postgres+s3"), spool, stopping, CollectorRegistry())


def by_a_clock(place: Place, kind: Any = "postgres+s3") -> tuple[Leadership, Moments]:
    spool, moments = cast(Any, SimpleNamespace(workers=place)), Moments()
    settings = StoreSettings(kind=kind, lease_s=10.0)
    return Leadership("sweep", settings, spool, cast(StopSignal, moments), CollectorRegistry(), moments), moments


def test_a_leader_gives_way_when_its_work_failed_for_a_lease_and_lets_others_go_first() -> None:
    place = Place()
    ours, moments = by_a_clock(place)
    work = ProgressWatch("sweeping", 60.0, moments)
    with ours.taken():
        for _ in range(2):
            work.failed("Redis does not answer")
            assert not ours.gives_way(work)
            moments.now += 5
        moments.now += 90  # what is being tried is no failure
        assert not ours.gives_way(work)
        work.failed("Redis does not answer")
        assert ours.gives_way(work) and ours.gives_way()
    assert not place.held and ours.goes_on and not moments.waited
    with ours.taken():
        assert place.held and moments.waited == [10.0]
        work.begin()
        work.failed("Redis does not answer")
        assert not ours.gives_way(work)
    ours.exit_if_lost()


def test_a_part_that_fails_alone_moves_the_place_only_if_the_host_lacks_what_all_need() -> None:
    ours, moments = by_a_clock(Place())
    pacs, ris = (ProgressWatch(name, 60.0, moments) for name in ("pacs", "ris"))
    with ours.taken():
        for _ in range(3):
            pacs.failed("Input/output error")
            ris.made()
            moments.now += 9
            assert not ours.gives_way(pacs, ris, is_of_host=lambda: False)
        pacs.failed("Input/output error")
        ris.failed("Input/output error")
        assert not ours.gives_way(pacs, ris, is_of_host=lambda: False)  # not for as long as a lease
        moments.now += 10
        pacs.failed("Input/output error")
        ris.failed("Input/output error")
        assert ours.gives_way(pacs, ris, is_of_host=lambda: False)
    with ours.taken():
        pacs.begin()
        ris.made()  # nothing is due there
        for _ in range(2):
            pacs.failed("the bucket does not answer")
            moments.now += 10
        assert ours.gives_way(pacs, ris, is_of_host=lambda: True)


def test_a_leader_that_works_now_and_then_does_not_give_way() -> None:
    ours, moments = by_a_clock(Place())
    work = ProgressWatch("sweeping", 60.0, moments)
    with ours.taken():
        for _ in range(5):
            work.failed("Redis does not answer")
            moments.now += 9
            work.failed("Redis does not answer")
            assert not ours.gives_way(work)
            work.made()
            moments.now += 9


def test_a_leader_without_its_database_does_not_give_way_and_what_failed_meanwhile_does_not_count() -> None:
    place = Place()
    ours, moments = by_a_clock(place)
    work = ProgressWatch("sweeping", 60.0, moments)
    with ours.taken():
        place.is_certain = False
        for _ in range(5):
            work.failed("the database does not answer")
            assert not ours.gives_way(work)
            moments.now += 9
        place.is_certain = True
        assert not ours.gives_way(work)
        moments.now += 1
        work.failed("Redis does not answer")
        assert ours.gives_way(work)


def test_with_files_no_one_gives_way() -> None:
    ours, moments = by_a_clock(Place(), "files")
    work = ProgressWatch("sweeping", 60.0, moments)
    with ours.taken():
        for _ in range(5):
            work.failed("Redis does not answer")
            moments.now += 9
            assert not ours.gives_way(work)


def test_who_has_lost_its_place_or_stops_does_not_go_on(stopping: StopSignal) -> None:
    place = Place()
    ours, moments = by_a_clock(place)
    moments.received = True
    assert not ours.goes_on
    ours = leadership(place, stopping)
    with ours.taken():
        place.lost = True
    assert not ours.goes_on


def test_after_an_error_that_is_not_expected_it_is_given_back_and_can_be_taken_again(stopping: StopSignal) -> None:
    place = Place()
    ours = leadership(place, stopping)
    place.faults.append(KeyError("of the driver"))
    with pytest.raises(KeyError), ours.taken():
        raise AssertionError("no place was taken")
    with pytest.raises(ZeroDivisionError), ours.taken() as lead:
        assert lead is place and ours.leads
        raise ZeroDivisionError
    assert not place.held and not ours.leads
    with ours.taken() as lead:
        assert lead is place and place.held and ours.leads
    ours.exit_if_lost()


def test_one_that_was_lost_ends_the_process(stopping: StopSignal) -> None:
    place = Place()
    ours = leadership(place, stopping)
    with ours.taken():
        place.lost = True
        raise LeaseLostError(116, "another process has reports now")
    with pytest.raises(SystemExit) as ended:
        ours.exit_if_lost()
    assert ended.value.code == EXIT_LEAD_LOST


def test_signals_are_left_to_what_handled_them_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal.meanwhile():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
