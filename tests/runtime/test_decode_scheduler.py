"""The order in which objects are decoded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.test_child_pool import PATIENT_S, be_killed, double, hang
from tests.support.wait import wait_for
from triage.runtime.child_pool import DecodePool, DecoderDiedError
from triage.runtime.decode_scheduler import (
    HEAVY,
    DecodeCost,
    DecodeScheduler,
    decode_processes,
    wait_until_ready,
)


class Held:
    """A decoding that ends when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_done = False
        self._callback: Callable[[], object] = lambda: None

    def when_done(self, callback: Callable[[], object]) -> None:
        self._callback = callback

    def end(self) -> None:
        self.is_done = True
        self._callback()


class Pool:
    """Notes what begins."""

    timeout_s = PATIENT_S

    def __init__(self) -> None:
        self.begun: list[Held] = []

    def submit(self, call: Any) -> Held:
        self.begun.append(Held(call.args[0]))
        return self.begun[-1]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.begun]


@pytest.fixture
def pool() -> Pool:
    return Pool()


def scheduler(
    pool: Pool, slots: int = 2, memory: int = 8 << 30, now: Callable[[], float] = time.monotonic
) -> DecodeScheduler:
    return DecodeScheduler(pool, slots, memory, now)  # type: ignore[arg-type]


def test_a_wait_ends_with_the_last_decoding_and_not_before(pool: Pool) -> None:
    scheduled = scheduler(pool)
    decodes = [scheduled.submit(partial(str, f"{number}"), DecodeCost()) for number in range(2)]
    ended = threading.Event()
    waiting = threading.Thread(target=lambda: (wait_until_ready(decodes, PATIENT_S), ended.set()))
    waiting.start()
    pool.begun[0].end()
    assert not ended.is_set()
    pool.begun[1].end()
    waiting.join(PATIENT_S)
    assert ended.is_set()
    wait_until_ready([], PATIENT_S)


def test_so_many_begin_as_there_are_decode_processes(pool: Pool) -> None:
    scheduled = scheduler(pool)
    for number in range(4):
        scheduled.submit(partial(str, f"{number}"), DecodeCost())
    assert pool.names == ["0", "1"]
    pool.begun[1].end()
    assert pool.names == ["0", "1", "2"]


def test_a_sender_that_came_later_does_not_wait_for_all_of_another(pool: Pool) -> None:
    scheduled = scheduler(pool)
    for number in range(10):
        scheduled.submit(partial(str, f"first {number}"), DecodeCost(sender="FIRST"))
    scheduled.submit(partial(str, "second"), DecodeCost(sender="SECOND"))
    pool.begun[0].end()
    assert pool.names[-1] == "second"


def test_a_stat_order_is_next_whoever_sent_it(pool: Pool) -> None:
    scheduled = scheduler(pool, slots=1)
    for number in range(3):
        scheduled.submit(partial(str, f"a{number}"), DecodeCost(sender="a"))
    scheduled.submit(partial(str, "b"), DecodeCost(sender="b"))
    scheduled.submit(partial(str, "urgent"), DecodeCost(sender="a", stat=True))
    for number in range(4):
        pool.begun[number].end()
    assert pool.names[:3] == ["a0", "urgent", "b"]


def test_who_has_taken_much_time_comes_after_who_has_taken_little(pool: Pool) -> None:
    clock = [0.0]
    scheduled = scheduler(pool, slots=1, now=lambda: clock[0])
    for number in range(3):
        scheduled.submit(partial(str, f"slow {number}"), DecodeCost(sender="SLOW"))
    for number in range(3):
        scheduled.submit(partial(str, f"quick {number}"), DecodeCost(sender="QUICK"))
    for _ in range(3):
        clock[0] += 20.0 if pool.names[-1].startswith("slow") else 0.1
        pool.begun[-1].end()
    assert pool.names == ["slow 0", "quick 0", "quick 1", "quick 2"]


def test_all_that_is_in_work_fits_the_memory(pool: Pool) -> None:
    scheduled = scheduler(pool, slots=4, memory=1000)
    for name, memory in (("a", 600), ("b", 500), ("c", 300)):
        scheduled.submit(partial(str, name), DecodeCost(memory))
    assert pool.names == ["a", "c"]
    pool.begun[0].end()
    assert pool.names == ["a", "c", "b"]


def test_what_fits_no_budget_is_in_work_alone(pool: Pool) -> None:
    scheduled = scheduler(pool, slots=4, memory=1000)
    scheduled.submit(partial(str, "a"), DecodeCost(5000))
    scheduled.submit(partial(str, "b"), DecodeCost(1))
    assert pool.names == ["a"]
    pool.begun[0].end()
    assert pool.names == ["a", "b"]


def test_what_is_passed_over_for_long_gets_its_turn(pool: Pool) -> None:
    clock = [0.0]
    scheduled = scheduler(pool, slots=4, memory=1000, now=lambda: clock[0])
    scheduled.submit(partial(str, "small"), DecodeCost(600))
    scheduled.submit(partial(str, "large"), DecodeCost(900))
    clock[0] = 11.0
    scheduled.submit(partial(str, "later"), DecodeCost(100))
    assert pool.names == ["small"]
    pool.begun[0].end()
    assert pool.names == ["small", "large", "later"]


def test_heavy_images_leave_a_child_to_others(pool: Pool) -> None:
    scheduled = scheduler(pool, slots=2, memory=100 * HEAVY)
    for number in range(5):
        scheduled.submit(partial(str, f"heavy {number}"), DecodeCost(HEAVY, f"SENDER {number}"))
    scheduled.submit(partial(str, "light"), DecodeCost(1000, "OTHER"))
    assert pool.names == ["heavy 0", "light"]


@pytest.mark.parametrize("cores", [{0}, {0, 1, 2}])
def test_however_few_are_scheduled_for_a_heavy_image_leaves_one_to_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, cores: set[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert (decode_processes(0), decode_processes(1), decode_processes(5)) == (max(len(cores), 2), 2, 5)
    scheduled = scheduler(pool, slots=decode_processes(1))
    scheduled.submit(partial(str, "heavy"), DecodeCost(HEAVY, "FIRST"))
    scheduled.submit(partial(str, "heavy too"), DecodeCost(HEAVY, "FIRST"))
    scheduled.submit(partial(str, "light"), DecodeCost(1000, "OTHER"))
    assert pool.names == ["heavy", "light"]


@pytest.fixture
def real() -> Iterator[DecodeScheduler]:
    pool = DecodePool(2, 8.0)  # a child that replaces one takes seconds to start where the machine is busy
    pool.warm()
    made = DecodeScheduler(pool, 2, 4 << 30)
    yield made
    made.close()
    pool.close()


def test_results_come_whoever_dies_or_hangs(real: DecodeScheduler) -> None:
    others = [real.submit(partial(double, number), DecodeCost()) for number in range(3)]
    killed, hung = real.submit(be_killed, DecodeCost()), real.submit(hang, DecodeCost())
    later = [real.submit(partial(double, number), DecodeCost()) for number in range(3, 6)]
    assert [each.result() for each in [*others, *later]] == [0, 2, 4, 6, 8, 10]
    for turn in (killed, hung):
        with pytest.raises(DecoderDiedError):
            turn.result()
    assert real.submit(partial(double, 21), DecodeCost()).result() == 42


def test_children_that_all_hang_are_ended_for_those_who_wait(real: DecodeScheduler) -> None:
    hung = [real.submit(hang, DecodeCost()) for _ in range(2)]
    assert real.submit(partial(double, 21), DecodeCost()).result() == 42
    for turn in hung:
        with pytest.raises(DecoderDiedError):
            turn.result()


def test_errors_are_passed_on(real: DecodeScheduler) -> None:
    with pytest.raises(FileNotFoundError):
        real.submit(partial(os.stat, Path("/nowhere")), DecodeCost()).result()
    assert threading.active_count() < 20
    ready = real.submit(partial(double, 1), DecodeCost())
    wait_for(lambda: ready.is_ready, "it")
