"""Child processes that decode. A decoder that crashes or hangs takes its own object down, and no other."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from triage.runtime.heap import keep_freed_memory
from triage.runtime.logs import Form, form_in_force, set_up_logs
from triage.runtime.memory import limit_memory

T = TypeVar("T")
logger = logging.getLogger(__name__)

MOST_MEMORY = 4 << 30
"""Bytes that one child may use. A small file can unfold into many gigabytes: then its object fails alone, and the
machine does not run out of memory. 90 megapixels of JPEG-LS need 1.4 GB."""

_LOST = (BrokenProcessPool, CancelledError, TimeoutError)
"""What a future says when its child died or hung, or when the pool was ended because another one did."""


class DecoderDiedError(Exception):
    """The process that decoded this object died or did not end in time."""


class DecodePool:
    """``processes`` children (0: one per core), made when first needed and made anew when one dies. Each may use
    ``most_memory`` bytes.

    One more child, made when first needed, tries again what was lost with a child: alone, so that only the object that
    kills its child is blamed, and apart, so that it takes nothing else down with it.
    """

    def __init__(self, processes: int, timeout_s: float, most_memory: int = MOST_MEMORY) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self.timeout_s = timeout_s
        self._most_memory = most_memory
        # Not fork: this process has threads. The server imports what children need once, and they share its memory.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["triage.scoring.batch"])
        self._changing = threading.RLock()
        self._many: ProcessPoolExecutor | None = None
        self._one: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., T], *arguments: Any) -> Decoding[T]:
        """Run ``function(*arguments)`` in a child."""
        return Decoding(self, function, arguments)

    def warm(self) -> None:
        """Start the children, so that the first object does not wait for them. Takes as long as it takes."""
        if self._many is None:
            self._many = self._made(self.processes)
        for child in [self._many.submit(_nothing) for _ in range(self.processes)]:
            child.result()

    def close(self) -> None:
        """End the children at once: one that hangs would keep this process from ending."""
        for pool in (self._many, self._one):
            if pool is not None:
                _kill(pool, wait=True)  # its thread must not close its pipe while the interpreter ends and writes to it
        self._many = self._one = None

    def _start(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> tuple[ProcessPoolExecutor, Future[T]]:
        with self._changing:
            if self._many is None:
                self._many = self._made(self.processes)
            try:
                return self._many, self._many.submit(function, *arguments)
            except BrokenProcessPool:
                self._break(self._many)
                return self._start(function, arguments)

    def _again(self, lost_with: ProcessPoolExecutor, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        self._break(lost_with)
        fresh = self._one is None
        try:
            return self._alone(function, arguments)
        except DecoderDiedError as error:
            if fresh or not isinstance(error.__cause__, BrokenProcessPool):
                raise
        return self._alone(function, arguments)  # the spare child may have died long before, and of nothing of this

    def _alone(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        if self._one is None:
            self._one = self._made(1)
        future: Future[T] | None = None
        try:
            future = self._one.submit(function, *arguments)
            return self._wait(future)
        except _LOST as error:
            if future is not None and future.done() and isinstance(error, TimeoutError):
                raise
            _kill(self._one)
            self._one = None
            raise DecoderDiedError("the decoder died or did not end in time") from error

    def _wait(self, future: Future[T], timeout_s: float | None = None) -> T:
        return future.result(self.timeout_s if timeout_s is None else timeout_s)

    def _break(self, pool: ProcessPoolExecutor) -> None:
        """End every child of ``pool`` at once, unless it was replaced already: its successor does other work."""
        with self._changing:
            if pool is self._many:
                self._many = None
                _kill(pool)

    def _made(self, processes: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            processes, self._context, initializer=_set_up_child, initargs=(self._most_memory, *form_in_force())
        )


class Decoding(Generic[T]):
    """A result to come."""

    def __init__(self, pool: DecodePool, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._pool = pool
        self._call = (function, arguments)
        self._timed_out = False
        self._executor, self._future = pool._start(function, arguments)

    @property
    def is_done(self) -> bool:
        """Whether its child has returned, raised or died."""
        return self._future.done()

    def when_done(self, tell: Callable[[Future[T]], object]) -> None:
        """Have ``tell`` called when its child has returned, raised or died, in any thread, or at once."""
        self._future.add_done_callback(tell)

    def give_up(self) -> None:
        """End its child, and all beside it: what is lost with it is tried again when its result is asked for."""
        if not self._future.done():
            self._timed_out = True
            self._pool._break(self._executor)

    def result_within(self, seconds: float) -> T:
        """``result``, but what does not end within ``seconds`` is given up, and not tried again."""
        try:
            if not self._timed_out:
                return self._pool._wait(self._future, seconds)
        except TimeoutError:
            if self._future.done():
                raise  # the function's own
            self.give_up()
        except _LOST:
            if not self._timed_out:
                return self._pool._again(self._executor, *self._call)
        raise DecoderDiedError("the decoder did not end in time")

    def result(self) -> T:
        """The function's result, or what it raised. DecoderDiedError if its child died or hung, alone in its pool.

        When a child dies, every object that was in work is lost with it; each is then tried once more by itself.
        """
        try:
            return self._pool._wait(self._future)
        except _LOST as error:
            if self._future.done() and isinstance(error, TimeoutError):
                raise  # the function's own
        return self._pool._again(self._executor, *self._call)


def _kill(pool: ProcessPoolExecutor, *, wait: bool = False) -> None:
    for process in list((pool._processes or {}).values()):  # there is no public way to end a hung child
        process.kill()
    pool.shutdown(wait=wait, cancel_futures=True)


def _set_up_child(most_memory: int, form: Form, process: str) -> None:
    set_up_logs("WARNING", form, process)
    keep_freed_memory()
    limit_memory(most_memory)
    for number in (signal.SIGINT, signal.SIGTERM):  # a worker that is told to stop finishes what it has begun
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_worker, daemon=True).start()


def _end_with_worker() -> None:
    """Nothing else would end us when the worker is killed: we hold both ends of the queue that we wait on."""
    worker = multiprocessing.parent_process()
    assert worker is not None
    worker.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _nothing() -> None:
    return None
