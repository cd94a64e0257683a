"""The signal to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


class StopSignal:
    """SIGTERM and SIGINT since this object was made."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._at = 0.0
        self._interrupt: Callable[[], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    @property
    def received(self) -> bool:
        """True if one of them came."""
        return self._event.is_set()

    @property
    def seconds_ago(self) -> float:
        """Seconds since the first of them came; 0 before."""
        return time.monotonic() - self._at if self.received else 0.0

    def wait(self, seconds: float) -> None:
        """Sleep, until the signal at most."""
        self._event.wait(seconds)

    def go_on(self, seconds: float) -> bool:
        """Sleep, until the signal at most, and return whether none came."""
        return not self._event.wait(seconds)

    def interrupt_with(self, interrupt: Callable[[], None] | None) -> None:
        """Call ``interrupt`` when the signal comes, in the main thread, between any two of its steps.

        It may raise, to end a wait that nothing else ends. None: call nothing.
        """
        self._interrupt = interrupt

    @classmethod
    @contextmanager
    def meanwhile(cls) -> Iterator[StopSignal]:
        """Receive the signal during the block, and leave it afterwards to what handled it before."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield cls()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        if not self._event.is_set():
            self._at = time.monotonic()
        self._event.set()
        if self._interrupt is not None:
            self._interrupt()
