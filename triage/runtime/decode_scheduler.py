"""The order in which objects are decoded: a memory budget over all children, and a fair share for each sender.

A pool's own queue is first come, first served: five large images of one sender would delay all other senders until the
last of them is decoded. Here the pool gets only as many calls as it has children, and the next one is chosen when a
child is free (ADR 42).
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

from triage.runtime.child_pool import Decoding

T = TypeVar("T")

HEAVY = 600 << 20
"""Bytes from which an image counts as heavy. At least one child is left to others."""
_MAX_PASSED_OVER_S = 10.0
"""Seconds that a call may be passed over for want of memory; then no other starts until it fits."""
_POLL_S = 0.2


def decode_processes(configured: int) -> int:
    """Return the number of children for a setting of ``configured`` (0: one per core).

    Two at least, on one core too: heavy images leave one to others, and the system shares the time between the two.
    """
    return max(configured or len(os.sched_getaffinity(0)), 2)


@dataclass(frozen=True)
class DecodeCost:
    """Cost of one decoding: an estimate of its ``memory`` in bytes, and the sender of the object.

    ``stat``: it goes before all that is not.
    """

    memory: int = 0
    sender: str = ""
    stat: bool = False


class CallPool(Protocol):
    """Child processes that run calls; ``DecodePool`` is one."""

    @property
    def timeout_s(self) -> float:
        """Seconds that one call may take."""

    def submit(self, function: Callable[[], T], /) -> Decoding[T]:
        """Run ``function()`` in a child."""


class ScheduledCall(Protocol):
    """A call as the scheduler sees it, whatever its result is."""

    cost: DecodeCost
    submitted_at: float
    started_at: float | None

    def start(self, pool: CallPool, now: float, on_end: Callable[[], None]) -> None:
        """Give the call to the pool; ``on_end`` is called when its child is free again."""

    def remaining_s(self) -> float:
        """Return the seconds that it may still take."""

    def end(self) -> None:
        """End its child."""


@dataclass(eq=False)
class ScheduledDecode(Generic[T]):
    """A result to come, perhaps of a call that has not started."""

    scheduler: DecodeScheduler
    call: Callable[[], T]
    cost: DecodeCost
    submitted_at: float
    started_at: float | None = None
    decoding: Decoding[T] | None = None
    started: threading.Event = field(default_factory=threading.Event)

    @property
    def is_ready(self) -> bool:
        """True if ``result`` returns, or raises, at once or soon: it is decoded, or its time is over."""
        return self.decoding is not None and (self.decoding.is_done or self.remaining_s() <= 0)

    def start(self, pool: CallPool, now: float, on_end: Callable[[], None]) -> None:
        """Give the call to the pool; ``on_end`` is called when its child is free again."""
        self.started_at = now
        self.decoding = pool.submit(self.call)
        self.started.set()
        self.decoding.when_done(on_end)

    def remaining_s(self) -> float:
        """Return the seconds that it may still take; infinite before it starts."""
        if self.started_at is None:
            return float("inf")
        return self.scheduler.timeout_s - (self.scheduler.now() - self.started_at)

    def end(self) -> None:
        """End its child."""
        assert self.decoding is not None
        self.decoding.give_up()

    def result(self) -> T:
        """Return the function's result, or raise its error. DecoderDiedError if its child died, or took too long."""
        while not self.started.wait(_POLL_S):
            self.scheduler.end_overdue()
        assert self.decoding is not None
        return self.decoding.result_within(max(self.remaining_s(), 0.0))


def wait_until_ready(decodes: Sequence[ScheduledDecode[T]], seconds: float) -> None:
    """Wait until all of one scheduler's ``decodes`` are ready, ``seconds`` at most."""
    if decodes:
        decodes[0].scheduler.wait_for(lambda: all(each.is_ready for each in decodes), seconds)


class DecodeScheduler:
    """The calls of one worker: ``slots`` at once in ``pool``, which together need at most ``memory`` bytes."""

    def __init__(self, pool: CallPool, slots: int, memory: int, now: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._slots, self._memory = pool, slots, memory
        self.now = now
        self.timeout_s = pool.timeout_s
        self._waiting: list[ScheduledCall] = []
        self._running: list[ScheduledCall] = []
        self._used: Counter[str] = Counter()  # milliseconds that a sender's objects took lately
        self._lock = threading.RLock()
        self._ended = threading.Condition()

    def submit(self, call: Callable[[], T], cost: DecodeCost) -> ScheduledDecode[T]:
        """Run ``call()`` in a child as soon as it is the next one; it must pickle."""
        scheduled = ScheduledDecode(self, call, cost, self.now())
        with self._lock:
            self._waiting.append(scheduled)
            self._start_next()
        return scheduled

    def close(self) -> None:
        """Start nothing more."""
        with self._lock:
            self._waiting.clear()

    def end_overdue(self) -> None:
        """End the children of calls whose time is over, so that waiting ones can start."""
        with self._lock:
            overdue = [each for each in self._running if each.remaining_s() <= 0]
        for call in overdue:
            call.end()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until ``condition`` holds, asked after each call that ends; ``seconds`` at most."""
        deadline = self.now() + seconds
        with self._ended:
            while not condition() and (left := deadline - self.now()) > 0:
                self._ended.wait(min(left, _POLL_S))  # the time of a call may be over without an end

    def _start_next(self) -> None:
        while len(self._running) < self._slots and (call := self._next()) is not None:
            self._waiting.remove(call)
            self._running.append(call)
            call.start(self._pool, self.now(), partial(self._on_end, call))

    def _on_end(self, call: ScheduledCall) -> None:
        """Start the next call, now that a child is free. Called in a thread of the pool."""
        self._free(call)
        with self._ended:
            self._ended.notify_all()

    def _free(self, call: ScheduledCall) -> None:
        with self._lock:
            if call not in self._running:
                return
            self._running.remove(call)
            assert call.started_at is not None
            self._used[call.cost.sender] += int(1000 * (self.now() - call.started_at)) + 1
            if not self._waiting:
                self._used.clear()
            self._start_next()

    def _next(self) -> ScheduledCall | None:
        """Return a STAT order, else a call of the sender with fewest running, then of the least time used."""
        fitting = [each for each in self._waiting if self._fits(each)]
        passed_over = next(
            (each for each in self._waiting if self.now() - each.submitted_at > _MAX_PASSED_OVER_S), None
        )
        if passed_over is not None and passed_over not in fitting and not self._takes_last_child(passed_over):
            return None
        running = Counter(each.cost.sender for each in self._running)
        turn = (
            (not call.cost.stat, running[call.cost.sender], self._used[call.cost.sender], number)
            for number, call in enumerate(fitting)
        )
        return fitting[min(turn)[-1]] if fitting else None

    def _fits(self, call: ScheduledCall) -> bool:
        if self._takes_last_child(call):
            return False
        used = sum(each.cost.memory for each in self._running)
        return not self._running or used + call.cost.memory <= self._memory

    def _takes_last_child(self, call: ScheduledCall) -> bool:
        """Return True if a heavy call would take the last child from those that are not heavy."""
        heavy = sum(each.cost.memory >= HEAVY for each in self._running)
        return call.cost.memory >= HEAVY and heavy >= max(self._slots - 1, 1)
