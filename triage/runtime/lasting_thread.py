"""Threads that last as long as their process: one that fails says so, and begins again (ADR 84)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from triage.runtime.logs import where_raised

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_CALM_S = 60.0  # one that ran this long begins again after the first pause


def lasting_thread(name: str, work: Callable[[], object], go_on: Callable[[float], bool]) -> threading.Thread:
    """Return a daemon thread that does ``work`` to its end, and begins it again after an error that it did not expect.

    Without that, what it kept up would stand still from then on, while its process says that all is well. ``go_on``
    waits for so many seconds, and returns False as soon as the work is no more wanted.
    """
    return threading.Thread(target=_run, args=(name, work, go_on), name=name, daemon=True)


def unless(stopped: threading.Event) -> Callable[[float], bool]:
    """Return a ``go_on`` for work that is wanted until an event is set."""
    return lambda seconds: not stopped.wait(seconds)


def _run(name: str, work: Callable[[], object], go_on: Callable[[float], bool]) -> None:
    pause_s = _FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        try:
            work()
            return
        except Exception as error:  # the edge: a defect, or an answer that no one expected
            if time.monotonic() - began > _CALM_S:
                pause_s = _FIRST_PAUSE_S
            logger.error("the thread %s failed (%s), and begins again in %g s", name, where_raised(error), pause_s)
        if not go_on(pause_s):
            return
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
