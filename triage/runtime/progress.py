"""Readiness by progress: a process that runs without progress is not ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class ProgressWatch:
    """Ready from the first sign of progress on, until something fails or no sign has come for ``at_most_s`` seconds.

    Safe to share between threads: each assignment is one step. ``clock`` is in seconds and never set back.
    """

    doing: str
    at_most_s: float
    clock: Callable[[], float] = time.monotonic
    _last: float | None = None
    _why: str = ""

    def made(self) -> None:
        """Record progress: work was done, or there was none and everything that it needs has responded."""
        self._last, self._why = self.clock(), ""

    def failed(self, why: str) -> None:
        """Record that the work cannot go on for now; ``why`` is for people."""
        self._why = why

    @property
    def fails(self) -> bool:
        """True if the work could not go on at the last try."""
        return bool(self._why)

    def ready(self) -> tuple[bool, str]:
        """Return True if the process does its work now, and its activity, or the reason why not."""
        last = self._last
        if self._why:
            return False, self._why
        if last is None:
            return False, "starting"
        silent_s = self.clock() - last
        if silent_s > self.at_most_s:
            return False, f"no progress for {silent_s:.0f} s: see the log"
        return True, self.doing


def all_ready(parts: Sequence[ProgressWatch]) -> tuple[bool, str]:
    """Return True if all parts of a process are ready, and the texts of those that are not, or else of all."""
    results = [each.ready() for each in parts]
    wrong = [text for ready, text in results if not ready]
    return not wrong, "; ".join(wrong or [text for _, text in results])
