"""A call of a plug-in that is waited for until a limit, and not for ever.

Python cannot end a thread. A call that is late goes on alone; nothing is asked of that plug-in meanwhile, and if it
takes as long again, ``on_stuck`` is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from triage.plugins.errors import PluginFaultError, PluginNotEndedError

T = TypeVar("T")


def _do_nothing() -> None:
    return None


class BoundedCalls:
    """Calls of one plug-in, one at a time, each in a thread of its own. Thread-safe."""

    def __init__(self, what: str, seconds: float, on_stuck: Callable[[], object] = _do_nothing) -> None:
        """Prepare.

        Args:
            what: the plug-in, for messages.
            seconds: time limit of one call.
            on_stuck: called if a call does not end in twice that time; may end the process.
        """
        self._what, self._seconds, self._on_stuck = what, seconds, on_stuck
        self._one_at_a_time = threading.Lock()
        self._running: threading.Thread | None = None

    def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, or raise what it raises.

        Raises PluginNotEndedError for one that does not end in time, and while such a one goes on; PluginFaultError in
        place of SystemExit and its like.
        """
        with self._one_at_a_time:
            if self._running is not None and self._running.is_alive():
                raise PluginNotEndedError(f"{self._what} still has not ended an earlier call")
            outcome: list[tuple[bool, object]] = []
            self._running = threading.Thread(target=_call, args=(call, outcome), name=self._what, daemon=True)
            self._running.start()
            self._running.join(self._seconds)
            if self._running.is_alive():
                self._watch(self._running)
                raise PluginNotEndedError(f"{self._what} did not end within {self._seconds:g} s")
        returned, value = outcome[0]
        if isinstance(value, Exception) and not returned:
            raise value
        if not returned:
            raise PluginFaultError(f"{self._what} calls for the end of the process ({type(value).__name__})")
        return value  # type: ignore[return-value]

    def _watch(self, late: threading.Thread) -> None:
        def wait() -> None:
            late.join(self._seconds)
            if late.is_alive():
                self._on_stuck()

        threading.Thread(target=wait, name=f"{self._what} is late", daemon=True).start()


def _call(call: Callable[[], object], outcome: list[tuple[bool, object]]) -> None:
    try:
        outcome.append((True, call()))
    except BaseException as error:  # the edge: foreign code, which may raise SystemExit too
        outcome.append((False, error))
