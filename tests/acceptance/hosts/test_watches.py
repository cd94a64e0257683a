"""What the trial of three hosts looks at all the time."""

from __future__ import annotations

import threading

from tests.acceptance.hosts.background import Background
from tests.acceptance.hosts.watches import LeaderWatch


def _watched(*leads: bool) -> LeaderWatch:
    """A watch that saw this of the sweep, a second apart."""
    answers = list(leads)
    watch = LeaderWatch(lambda _: answers.pop(0))
    for number in range(len(leads)):
        watch.look("sweep", float(number))
    return watch


def test_a_time_without_a_leader_is_that_in_which_it_was_seen() -> None:
    watch = _watched(True, False, False, False, True, False, True)
    assert watch.gaps["sweep"] == [(1.0, 3.0), (5.0, 5.0)]
    assert not watch.gone


def test_a_time_that_does_not_end_is_noted_too() -> None:
    watch = _watched(True, False, False)
    watch.end()
    assert watch.gaps["sweep"] == [(1.0, 2.0)]
    assert watch.gone == {"sweep": (1.0, 2.0)}
    assert watch.gaps["deliver"] == []


def test_what_goes_on_is_repeated_until_the_end_and_no_longer() -> None:
    background, often = Background(), threading.Semaphore(0)
    background.begin(*[lambda: background.repeat(often.release, 0.0)] * 2)
    assert all(often.acquire(timeout=60) for _ in range(5))
    background.end()
    background.end()
    assert not any(each.is_alive() for each in background.threads)


def test_a_watch_looks_at_each_role_by_itself() -> None:
    seen = {role: threading.Event() for role in LeaderWatch(lambda _: True).gaps}

    def leads(role: str) -> bool:
        seen[role].set()
        return role != "sweep"

    watch = LeaderWatch(leads)
    watch.start()
    assert all(each.wait(60) for each in seen.values())
    watch.end()
    assert watch.gone.keys() == {"sweep"}
