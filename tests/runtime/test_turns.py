"""Whose turn it is to be decoded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.test_child_pool import PATIENT_S, be_killed, double, hang
from tests.support.wait import wait_for
from triage.runtime.child_pool import DecodePool, DecoderDiedError
from triage.runtime.turns import HEAVY, DecodeTurns, Load, children


class Held:
    """A decoding that ends when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_done = False
        self._tell: Callable[[Any], object] = lambda _: None

    def when_done(self, tell: Callable[[Any], object]) -> None:
        self._tell = tell

    def end(self) -> None:
        self.is_done = True
        self._tell(None)


class Pool:
    """Notes what begins."""

    timeout_s = PATIENT_S

    def __init__(self) -> None:
        self.begun: list[Held] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Held:
        self.begun.append(Held(arguments[0]))
        return self.begun[-1]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.begun]


@pytest.fixture
def pool() -> Pool:
    return Pool()


def turns(pool: Pool, slots: int = 2, memory: int = 8 << 30, now: Callable[[], float] = time.monotonic) -> DecodeTurns:
    return DecodeTurns(pool, slots, memory, now)  # type: ignore[arg-type]


def test_so_many_begin_as_there_are_children(pool: Pool) -> None:
    asked = turns(pool)
    for number in range(4):
        asked.submit(str, f"{number}", load=Load())
    assert pool.names == ["0", "1"]
    pool.begun[1].end()
    assert pool.names == ["0", "1", "2"]


def test_a_sender_that_came_later_does_not_wait_for_all_of_another(pool: Pool) -> None:
    asked = turns(pool)
    for number in range(10):
        asked.submit(str, f"first {number}", load=Load(sender="FIRST"))
    asked.submit(str, "second", load=Load(sender="SECOND"))
    pool.begun[0].end()
    assert pool.names[-1] == "second"


def test_who_has_taken_much_time_comes_after_who_has_taken_little(pool: Pool) -> None:
    clock = [0.0]
    asked = turns(pool, slots=1, now=lambda: clock[0])
    for number in range(3):
        asked.submit(str, f"slow {number}", load=Load(sender="SLOW"))
    for number in range(3):
        asked.submit(str, f"quick {number}", load=Load(sender="QUICK"))
    for _ in range(3):
        clock[0] += 20.0 if pool.names[-1].startswith("slow") else 0.1
        pool.begun[-1].end()
    assert pool.names == ["slow 0", "quick 0", "quick 1", "quick 2"]


def test_all_that_is_in_work_fits_the_memory(pool: Pool) -> None:
    asked = turns(pool, slots=4, memory=1000)
    for name, memory in (("a", 600), ("b", 500), ("c", 300)):
        asked.submit(str, name, load=Load(memory))
    assert pool.names == ["a", "c"]
    pool.begun[0].end()
    assert pool.names == ["a", "c", "b"]


def test_what_fits_no_budget_is_in_work_alone(pool: Pool) -> None:
    asked = turns(pool, slots=4, memory=1000)
    asked.submit(str, "a", load=Load(5000))
    asked.submit(str, "b", load=Load(1))
    assert pool.names == ["a"]
    pool.begun[0].end()
    assert pool.names == ["a", "b"]


def test_what_is_passed_over_for_long_gets_its_turn(pool: Pool) -> None:
    clock = [0.0]
    asked = turns(pool, slots=4, memory=1000, now=lambda: clock[0])
    asked.submit(str, "small", load=Load(600))
    asked.submit(str, "large", load=Load(900))
    clock[0] = 11.0
    asked.submit(str, "later", load=Load(100))
    assert pool.names == ["small"]
    pool.begun[0].end()
    assert pool.names == ["small", "large", "later"]


def test_heavy_images_leave_a_child_to_others(pool: Pool) -> None:
    asked = turns(pool, slots=2, memory=100 * HEAVY)
    for number in range(5):
        asked.submit(str, f"heavy {number}", load=Load(HEAVY, f"SENDER {number}"))
    asked.submit(str, "light", load=Load(1000, "OTHER"))
    assert pool.names == ["heavy 0", "light"]


@pytest.mark.parametrize("cores", [{0}, {0, 1, 2}])
def test_however_few_are_asked_for_a_heavy_image_leaves_one_to_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, cores: set[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert (children(0), children(1), children(5)) == (max(len(cores), 2), 2, 5)
    asked = turns(pool, slots=children(1))
    asked.submit(str, "heavy", load=Load(HEAVY, "FIRST"))
    asked.submit(str, "heavy too", load=Load(HEAVY, "FIRST"))
    asked.submit(str, "light", load=Load(1000, "OTHER"))
    assert pool.names == ["heavy", "light"]


@pytest.fixture
def real() -> Iterator[DecodeTurns]:
    pool = DecodePool(2, 8.0)  # a child that replaces one takes seconds to start where the machine is busy
    pool.warm()
    made = DecodeTurns(pool, 2, 4 << 30)
    yield made
    made.close()
    pool.close()


def test_results_come_whoever_dies_or_hangs(real: DecodeTurns) -> None:
    others = [real.submit(double, number, load=Load()) for number in range(3)]
    killed, hung = real.submit(be_killed, load=Load()), real.submit(hang, load=Load())
    later = [real.submit(double, number, load=Load()) for number in range(3, 6)]
    assert [each.result() for each in [*others, *later]] == [0, 2, 4, 6, 8, 10]
    for turn in (killed, hung):
        with pytest.raises(DecoderDiedError):
            turn.result()
    assert real.submit(double, 21, load=Load()).result() == 42


def test_children_that_all_hang_are_ended_for_those_who_wait(real: DecodeTurns) -> None:
    hung = [real.submit(hang, load=Load()) for _ in range(2)]
    assert real.submit(double, 21, load=Load()).result() == 42
    for turn in hung:
        with pytest.raises(DecoderDiedError):
            turn.result()


def test_errors_are_passed_on(real: DecodeTurns) -> None:
    with pytest.raises(FileNotFoundError):
        real.submit(os.stat, Path("/nowhere"), load=Load()).result()
    assert threading.active_count() < 20
    ready = real.submit(double, 1, load=Load())
    wait_for(lambda: ready.is_ready, "it")
