"""What the trial of three hosts looks at all the time."""

from __future__ import annotations

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
