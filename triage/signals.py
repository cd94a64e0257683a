"""Being told to stop."""

from __future__ import annotations

import logging
import signal
import threading

logger = logging.getLogger(__name__)


class StopSignal:
    """Whether SIGTERM or SIGINT came since it was made."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.note)

    @property
    def received(self) -> bool:
        """Whether it came."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until it comes."""
        self._event.wait(seconds)

    def note(self, number: int, _frame: object) -> None:
        """Take note of a signal; public for a library that insists on a handler of its own."""
        logger.info("%s: stopping", signal.Signals(number).name)
        self._event.set()
