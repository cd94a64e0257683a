"""Child processes that decode. A decoder that crashes or hangs takes its own object down, and no other."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from triage.quiet import silence_libraries

T = TypeVar("T")
logger = logging.getLogger(__name__)


class DecoderDiedError(Exception):
    """The process that decoded this object died or did not end in time."""


class DecodePool:
    """``processes`` children (0: one per core), made when first needed and made anew when one dies."""

    def __init__(self, processes: int, timeout_s: float) -> None:
        self._processes = processes or len(os.sched_getaffinity(0))
        self._timeout_s = timeout_s
        # Not fork: this process has threads. The server imports what children need once, and they share its memory.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["triage.scoring"])
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., T], *arguments: Any) -> Decoding[T]:
        """Run ``function(*arguments)`` in a child."""
        return Decoding(self, function, arguments)

    def warm(self) -> None:
        """Start the children, so that the first object does not wait for them."""
        for decoding in [self.submit(_nothing) for _ in range(self._processes)]:
            decoding.result()

    def close(self) -> None:
        """End the children."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _start(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> Future[T]:
        try:
            return self._running().submit(function, *arguments)
        except BrokenProcessPool:
            self._break()
            return self._running().submit(function, *arguments)

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._processes, self._context, initializer=_start_child)
        return self._pool

    def _break(self) -> None:
        """End every child at once, also one that hangs in a decoder."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):  # there is no public way to end a hung child
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


class Decoding(Generic[T]):
    """A result to come."""

    def __init__(self, pool: DecodePool, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._pool = pool
        self._call = (function, arguments)
        self._future = pool._start(function, arguments)

    def result(self) -> T:
        """The function's result. DecoderDiedError if its child died or hung, alone in the pool.

        When a child dies, every object that was in work fails with it; each is then tried once more by itself, so that
        only the one that kills its child is blamed.
        """
        try:
            return self._future.result(self._pool._timeout_s)
        except (BrokenProcessPool, TimeoutError, OSError):
            self._pool._break()
        future = self._pool._start(*self._call)
        try:
            return future.result(self._pool._timeout_s)
        except (BrokenProcessPool, TimeoutError) as error:
            self._pool._break()
            raise DecoderDiedError("the decoder died or did not end in time") from error


def _start_child() -> None:
    silence_libraries()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _nothing() -> None:
    return None
