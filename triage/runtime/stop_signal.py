"""The signal to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class StopSignal:
    """SIGTERM and SIGINT since this object was made."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._interrupt: Callable[[], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    @property
    def received(self) -> bool:
        """True if one of them came."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, until the signal at most."""
        self._event.wait(seconds)

    def interrupt_with(self, interrupt: Callable[[], None] | None) -> None:
        """Call ``interrupt`` when the signal comes, in the main thread, between any two of its steps.

        It may raise, to end a wait that nothing else ends. None: call nothing.
        """
        self._interrupt = interrupt

    def _receive(self, number: int, _frame: object) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        self._event.set()
        if self._interrupt is not None:
            self._interrupt()
