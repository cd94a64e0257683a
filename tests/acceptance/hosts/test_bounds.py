"""The bounds of the trial of three hosts: each can be exceeded, and is then told."""

from __future__ import annotations

import pytest

from tests.acceptance.hosts import bounds
from tests.acceptance.hosts.bounds import (
    BACK_S,
    BUCKET,
    DATABASE,
    LEADER_S,
    LEFT_S,
    REDIS,
    Look,
    Outage,
    WayCut,
    beyond,
    leader_s,
    longest_outside,
    more_than_decided,
    not_left,
    of_engines,
    sent_without_cause,
    undocumented,
)
from triage.delivery import deliverer
from triage.service import leadership, store_probe
from triage.spool.cluster import connection


def test_the_bounds_are_of_what_the_product_does() -> None:
    assert bounds.LOOKS == leadership._LOOKS
    assert bounds.ROUND_S == deliverer._ROUND_S
    assert bounds.PROBE_S == store_probe._FRESH_S + store_probe._OLDEST_S + store_probe._PATIENCE_S
    assert bounds.BACK_S > connection._CONNECT_S + connection._ANSWER_S
    assert bounds.LEADER_S == 21.0


@pytest.mark.parametrize(
    ("period", "outages", "seconds"),
    [
        ((10, 40), [], 30),
        ((10, 40), [(0, 5)], 30),
        ((10, 40), [(50, 60)], 30),
        ((10, 40), [(5, 20)], 20),
        ((10, 40), [(30, 60)], 20),
        ((10, 40), [(15, 20)], 20),
        ((10, 40), [(15, 20), (12, 36)], 4),
        ((10, 40), [(0, 60)], 0),
    ],
)
def test_what_an_outage_covers_does_not_count(
    period: tuple[float, float], outages: list[tuple[float, float]], seconds: float
) -> None:
    assert longest_outside(period, [_outage(*each) for each in outages]) == seconds


def test_a_time_that_is_longer_than_the_bound_is_told() -> None:
    gaps = [(100.0, 100.0 + LEADER_S), (200.0, 201.0 + LEADER_S)]
    assert beyond(gaps, [], LEADER_S) == ["22 s from 200 s on"]
    assert not beyond(gaps, [_outage(190, 210)], LEADER_S)


def test_a_leader_that_has_lost_its_way_alone_may_try_for_a_lease_more() -> None:
    cut = WayCut("a", REDIS, 100.0, 140.0)
    assert leader_s((105.0, 130.0), [cut]) == LEADER_S + bounds.LEASE_S + bounds.TRY_S == 41.0
    assert leader_s((90.0, 130.0), [cut]) == leader_s((141.0, 150.0), [cut]) == LEADER_S


def test_a_fault_meanwhile_may_hit_the_new_leader() -> None:
    assert leader_s((100.0, 130.0), [], [_outage(90, 95), _outage(120, 121), _outage(131, 140)]) == 2 * LEADER_S


def test_an_outage_of_another_engine_excuses_nothing() -> None:
    of_redis = Outage(frozenset({REDIS}), 0, 100)
    assert of_engines([of_redis], {DATABASE, REDIS}) == [of_redis]
    assert of_engines([of_redis, Outage(frozenset(), 0, 100)], {DATABASE, BUCKET}) == []


def test_refusals_that_no_statement_has() -> None:
    assert undocumented(["0xA700", "closed", "TimeoutError", "association rejected (2, 3, 2)"]) == []
    wrong = ["0x0110", "0xC000", "0xA900", "association rejected (1, 1, 7)"]
    assert undocumented(wrong) == wrong


def test_more_results_than_decisions_are_told() -> None:
    decisions = {"1.2": 1, "1.3": 2, "1.4": 1}
    assert more_than_decided({"1.2": {"a"}, "1.3": {"b", "c"}}, decisions) == []
    assert more_than_decided({"1.2": {"a", "d"}, "1.3": {"b", "c", "e"}}, decisions) == ["1.2", "1.3"]


def test_a_result_that_comes_again_needs_a_cause() -> None:
    sendings = {"once": [5.0], "twice": [5.0, 30.0], "often": [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]}
    assert sent_without_cause(sendings, []) == ["twice", "often"]
    assert sent_without_cause(sendings, [(40.0, 50.0)]) == ["twice", "often"]
    assert sent_without_cause(sendings, [(8.0, 28.0)]) == ["often"]


CUT = WayCut("a", DATABASE, 100.0, 140.0)


def _looks(*, left: float = 105.0, back: float = 150.0, others: bool = True) -> list[Look]:
    """Looks each second: listener a takes work but from ``left`` to ``back``."""
    return [
        Look(at, {"a/listen": not left <= at < back, "b/listen": others, "c/listen": others and at > 130})
        for at in map(float, range(90, 240))
    ]


def _faults(looks: list[Look]) -> list[str]:
    return not_left(CUT, looks, "a/listen", ["b/listen", "c/listen"])


def test_a_listener_that_is_left_and_comes_back_is_right() -> None:
    assert _faults(_looks()) == []
    assert _faults(_looks(left=100 + LEFT_S)) == []


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (_looks(left=300.0), "a/listen was not left"),
        (_looks(left=101 + LEFT_S + 1), "a/listen was not left"),
        (_looks(back=139.0), "a/listen was not left"),
        ([], "a/listen was not left"),
        (_looks(others=False), "no other one took work at 100 s"),
        (_looks(back=142 + BACK_S), "a/listen was not back"),
    ],
)
def test_what_did_not_hold_while_a_way_was_cut_is_told(looks: list[Look], words: str) -> None:
    assert any(words in fault for fault in _faults(looks))


def test_a_worker_without_redis_says_so_and_comes_back_and_others_work() -> None:
    cut = WayCut("a", REDIS, 100.0, 140.0)
    names = ("a/listen", ["b/listen", "c/listen"])
    assert not_left(cut, _looks(), *names) == []
    (fault,) = not_left(cut, _looks(left=300.0), *names)
    assert "a/listen was not left" in fault
    assert len(not_left(cut, _looks(others=False, back=142 + BACK_S), *names)) == 2


def _outage(since: float, until: float) -> Outage:
    return Outage(frozenset({DATABASE}), since, until)
