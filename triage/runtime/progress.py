"""Whether a process gets on with its work: what its /readyz says. A process that only runs is not ready."""

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
        """Some work was done, or there was none to do and everything that it needs has answered."""
        self._last, self._why = self.clock(), ""

    def failed(self, why: str) -> None:
        """The work cannot go on for now; ``why`` is for people."""
        self._why = why

    def ready(self) -> tuple[bool, str]:
        """Whether the process does its work now, and what it does, or why not."""
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
    """Whether all parts of a process are ready; of those that are not, what each says."""
    said = [each.ready() for each in parts]
    wrong = [text for ready, text in said if not ready]
    return not wrong, "; ".join(wrong or [text for _, text in said])
