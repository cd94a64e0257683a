"""Child processes that decode. A decoder that crashes or hangs fails its own object, and no other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from triage.errors import TriageError
from triage.runtime.heap import keep_freed_memory
from triage.runtime.logs import Form, form_in_force, set_up_logs
from triage.runtime.memory import limit_memory
from triage.runtime.process_pool import end_with_parent, kill_children, start_pool

T = TypeVar("T")
P = ParamSpec("P")

MOST_MEMORY = 4 << 30
"""Bytes that one child may use. A small file can unfold into many gigabytes: then its object fails alone, and the
machine does not run out of memory. 90 megapixels of JPEG-LS need 1.4 GB."""

_LOST = (BrokenProcessPool, CancelledError, TimeoutError)
"""Errors of a future whose child died or hung, or whose pool was ended because another child did."""


class DecoderDiedError(TriageError):
    """The process that decoded this object died or did not end in time. Another try may succeed."""


class DecodePool:
    """``processes`` children (0: one per core), started when first needed and again when one dies.

    Each may use ``most_memory`` bytes. One more child, started when first needed, repeats calls that were lost with a
    child: alone, so that only the object that kills its child is blamed, and apart, so that no other call is lost.
    """

    def __init__(self, processes: int, timeout_s: float, most_memory: int = MOST_MEMORY) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self.timeout_s = timeout_s
        self._most_memory = most_memory
        self._changing = threading.RLock()
        self._many: ProcessPoolExecutor | None = None
        self._one: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Decoding[T]:
        """Run ``function(*args, **kwargs)`` in a child; all must pickle."""
        return Decoding(self, partial(function, *args, **kwargs) if args or kwargs else function)

    def warm(self) -> None:
        """Start the children, so that the first object does not wait for them. There is no time limit."""
        if self._many is None:
            self._many = self._started(self.processes)
        for child in [self._many.submit(_do_nothing) for _ in range(self.processes)]:
            child.result()

    def close(self) -> None:
        """End the children at once: one that hangs would keep this process from ending."""
        for pool in (self._many, self._one):
            if pool is not None:
                # Its thread must not close its pipe while the interpreter ends and writes to it.
                kill_children(pool, wait=True)
        self._many = self._one = None

    def _start(self, call: Callable[[], T]) -> tuple[ProcessPoolExecutor, Future[T]]:
        with self._changing:
            if self._many is None:
                self._many = self._started(self.processes)
            try:
                return self._many, self._many.submit(call)
            except BrokenProcessPool:
                self._break(self._many)
                return self._start(call)

    def _repeat(self, lost_with: ProcessPoolExecutor, call: Callable[[], T]) -> T:
        self._break(lost_with)
        fresh = self._one is None
        try:
            return self._run_alone(call)
        except DecoderDiedError as error:
            if fresh or not isinstance(error.__cause__, BrokenProcessPool):
                raise
        return self._run_alone(call)  # the spare child may have died long before, for another reason

    def _run_alone(self, call: Callable[[], T]) -> T:
        if self._one is None:
            self._one = self._started(1)
        future: Future[T] | None = None
        try:
            future = self._one.submit(call)
            return self._wait(future)
        except _LOST as error:
            if future is not None and future.done() and isinstance(error, TimeoutError):
                raise
            kill_children(self._one)
            self._one = None
            raise DecoderDiedError("the decoder died or did not end in time") from error

    def _wait(self, future: Future[T], timeout_s: float | None = None) -> T:
        return future.result(self.timeout_s if timeout_s is None else timeout_s)

    def _break(self, pool: ProcessPoolExecutor) -> None:
        """End every child of ``pool`` at once, unless it was replaced already: its successor has other calls."""
        with self._changing:
            if pool is self._many:
                self._many = None
                kill_children(pool)

    def _started(self, processes: int) -> ProcessPoolExecutor:
        return start_pool(processes, partial(_set_up_child, self._most_memory, *form_in_force()))


class Decoding(Generic[T]):
    """A result to come."""

    def __init__(self, pool: DecodePool, call: Callable[[], T]) -> None:
        self._pool = pool
        self._call = call
        self._timed_out = False
        self._executor, self._future = pool._start(call)

    @property
    def is_done(self) -> bool:
        """True if its child has returned, raised or died."""
        return self._future.done()

    def when_done(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called when its child has returned, raised or died, in any thread, or at once."""
        self._future.add_done_callback(lambda _: callback())

    def give_up(self) -> None:
        """End its child and all others of the pool: the other lost calls are repeated when their result is needed."""
        if not self._future.done():
            self._timed_out = True
            self._pool._break(self._executor)

    def result_within(self, seconds: float) -> T:
        """Return ``result``, but give up a call that does not end within ``seconds``, and do not repeat it."""
        try:
            if not self._timed_out:
                return self._pool._wait(self._future, seconds)
        except TimeoutError:
            if self._future.done():
                raise  # the function's own
            self.give_up()
        except _LOST:
            if not self._timed_out:
                return self._pool._repeat(self._executor, self._call)
        raise DecoderDiedError("the decoder did not end in time")

    def result(self) -> T:
        """Return the function's result, or raise its error. DecoderDiedError if its child died or hung, alone.

        When a child dies, every call that was running is lost with it; each is then repeated once by itself.
        """
        try:
            return self._pool._wait(self._future)
        except _LOST as error:
            if self._future.done() and isinstance(error, TimeoutError):
                raise  # the function's own
        return self._pool._repeat(self._executor, self._call)


def _set_up_child(most_memory: int, form: Form, process: str) -> None:
    set_up_logs("WARNING", form, process)
    keep_freed_memory()
    limit_memory(most_memory)
    for number in (signal.SIGINT, signal.SIGTERM):  # a worker that gets a signal finishes what it has begun
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()


def _do_nothing() -> None:
    return None
