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
    _failed: tuple[float, float] | None = None

    def made(self) -> None:
        """Record progress: work was done, or there was none and everything that it needs has responded."""
        self._last, self._why, self._failed = self.clock(), "", None

    def failed(self, why: str) -> None:
        """Record that the work cannot go on for now; ``why`` is for people."""
        now, before = self.clock(), self._failed
        self._why, self._failed = why, (before[0] if before else now, now)

    def begin(self) -> None:
        """Forget what was before: work begins anew."""
        self._last, self._why, self._failed = None, "", None

    @property
    def failures(self) -> tuple[float, float] | None:
        """The times of the first and the last try that failed since something went well; None if none has."""
        return self._failed

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
