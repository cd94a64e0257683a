"""One batch at a time is written in a thread, while the next one is scored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from triage.errors import cause

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Settler(Generic[T]):
    """Context in which ``settle`` is called for one batch after another. At its end the last one has been written.

    An error of ``settle`` is raised by the next ``wait``, ``begin`` or ``settle``, and at the end.
    """

    def __init__(self, settle: Callable[[T], None]) -> None:
        self._settle = settle
        self._thread = ThreadPoolExecutor(1, "settle")
        self._last: Future[None] | None = None

    def begin(self, batch: T) -> None:
        """Begin to write a batch, once the one before it is written."""
        self.wait()
        self._last = self._thread.submit(self._settle, batch)

    def settle(self, batch: T) -> None:
        """Write a batch in the calling thread, once the one before it is written."""
        self.wait()
        self._settle(batch)

    def wait(self) -> None:
        """Wait until the batch that was begun is written. Raises its error."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self.wait()
        elif self._last is not None and (other := self._last.exception()) is not None:
            logger.error("a batch could not be written either (%s): its objects wait", cause(other))
