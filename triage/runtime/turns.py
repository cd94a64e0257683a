"""Whose turn it is to be decoded: a memory budget over all children, and no sender that keeps the others waiting.

A pool's own queue is first come, first served: five large images of one sender keep everybody waiting until the last of
them is decoded. Here only so many are given to the pool as it has children, and which comes next is chosen then.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from triage.runtime.child_pool import DecodePool, Decoding

T = TypeVar("T")

HEAVY = 600 << 20
"""Bytes from which an image counts as heavy. At least one child is left to others."""
_PATIENCE_S = 10.0
"""Seconds that one may be passed over for want of memory; then nothing else begins until it fits."""


def children(asked: int) -> int:
    """How many children decode where ``asked`` is set (0: one per core).

    Two at least, on one core too: heavy images leave one to others, and the system shares the time between the two.
    """
    return max(asked or len(os.sched_getaffinity(0)), 2)


@dataclass(frozen=True)
class Load:
    """What one decoding costs: ``memory`` in bytes, by an estimate; whose object it is."""

    memory: int = 0
    sender: str = ""


@dataclass(eq=False)
class Turn(Generic[T]):
    """A result to come, perhaps not yet begun."""

    turns: DecodeTurns
    call: tuple[Callable[..., T], tuple[Any, ...]]
    load: Load
    came_at: float
    began_at: float | None = None
    decoding: Decoding[T] | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    @property
    def is_ready(self) -> bool:
        """Whether ``result`` returns, or raises, at once or soon: it is decoded, or its time is over."""
        return self.decoding is not None and (self.decoding.is_done or self.left_s() <= 0)

    def left_s(self) -> float:
        """Seconds that it may still take."""
        return self.turns.timeout_s - (self.turns.now() - self.began_at) if self.began_at is not None else float("inf")

    def result(self) -> T:
        """The function's result, or what it raised. DecoderDiedError if its child died, or did not end in time."""
        while not self.begun.wait(0.2):
            self.turns.end_overdue()
        assert self.decoding is not None
        return self.decoding.result_within(max(self.left_s(), 0.0))


class DecodeTurns:
    """The decodings of one worker: ``slots`` at once in ``pool``, which together need at most ``memory`` bytes."""

    def __init__(self, pool: DecodePool, slots: int, memory: int, now: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._slots, self._memory = pool, slots, memory
        self.now = now
        self.timeout_s = pool.timeout_s
        self._waiting: list[Turn[Any]] = []
        self._running: list[Turn[Any]] = []
        self._used: Counter[str] = Counter()  # milliseconds that a sender's objects took lately
        self._lock = threading.RLock()

    def submit(self, function: Callable[..., T], *arguments: Any, load: Load) -> Turn[T]:
        """Run ``function(*arguments)`` in a child when its turn comes."""
        turn: Turn[T] = Turn(self, (function, arguments), load, self.now())
        with self._lock:
            self._waiting.append(turn)
            self._begin()
        return turn

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._waiting.clear()

    def end_overdue(self) -> None:
        """End the child of a decoding whose time is over, so that those that wait can begin."""
        with self._lock:
            overdue = [each for each in self._running if each.left_s() <= 0]
        for turn in overdue:
            assert turn.decoding is not None
            turn.decoding.give_up()

    def _begin(self) -> None:
        while len(self._running) < self._slots and (turn := self._next()) is not None:
            self._waiting.remove(turn)
            self._running.append(turn)
            turn.began_at = self.now()
            function, arguments = turn.call
            turn.decoding = self._pool.submit(function, *arguments)
            turn.begun.set()
            turn.decoding.when_done(partial(self._end, turn))

    def _end(self, turn: Turn[Any], _: Future[Any]) -> None:
        """A child is free again. Called in a thread of the pool."""
        with self._lock:
            if turn not in self._running:
                return
            self._running.remove(turn)
            assert turn.began_at is not None
            self._used[turn.load.sender] += int(1000 * (self.now() - turn.began_at)) + 1
            if not self._waiting:
                self._used.clear()
            self._begin()

    def _next(self) -> Turn[Any] | None:
        """Of the sender with fewest in work, then of the one that has taken least time; of its own, the first."""
        fitting = [each for each in self._waiting if self._fits(each)]
        passed_over = next((each for each in self._waiting if self.now() - each.came_at > _PATIENCE_S), None)
        if passed_over is not None and passed_over not in fitting and not self._is_heavy_beside_heavy(passed_over):
            return None
        running = Counter(each.load.sender for each in self._running)
        return min(fitting, key=lambda turn: (running[turn.load.sender], self._used[turn.load.sender]), default=None)

    def _fits(self, turn: Turn[Any]) -> bool:
        if self._is_heavy_beside_heavy(turn):
            return False
        taken = sum(each.load.memory for each in self._running)
        return not self._running or taken + turn.load.memory <= self._memory

    def _is_heavy_beside_heavy(self, turn: Turn[Any]) -> bool:
        """Whether it would take the last child from those that are not heavy."""
        heavy = sum(each.load.memory >= HEAVY for each in self._running)
        return turn.load.memory >= HEAVY and heavy >= max(self._slots - 1, 1)
