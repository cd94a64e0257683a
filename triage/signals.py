"""Being told to stop, and ending with one's parent."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


class StopSignal:
    """Whether SIGTERM or SIGINT came since it was made."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._interrupt: Callable[[], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    @property
    def received(self) -> bool:
        """Whether it came."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until it comes."""
        self._event.wait(seconds)

    def interrupt_with(self, interrupt: Callable[[], None] | None) -> None:
        """Have ``interrupt`` called when it comes, in the main thread, between any two of its steps.

        It may raise, to end a wait that nothing else ends.
        """
        self._interrupt = interrupt

    def _note(self, number: int, _frame: object) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        self._event.set()
        if self._interrupt is not None:
            self._interrupt()


def end_with_parent(parent: int, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send us ``with_signal`` when our parent, whose process id is ``parent``, dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, with_signal)
    if os.getppid() != parent:  # it died before prctl
        os.kill(os.getpid(), with_signal)
