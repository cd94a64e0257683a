"""A limit on how often one and the same line is logged, for lines that strangers can cause.

Lines are the same if the same place in the code wrote them. What is left out is counted, and said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LINES = 60
WINDOW_S = 60.0

_Place = tuple[str, int, str]


@dataclass
class _Window:
    began: float
    passed: int = 0
    left_out: int = 0


class LogLimit(logging.Filter):
    """Lets ``lines`` through within ``window_s``, of each line of the loggers ``names`` and those below them."""

    def __init__(
        self,
        names: Iterable[str],
        lines: int = LINES,
        window_s: float = WINDOW_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._names = tuple(names)
        self._lines = lines
        self._window_s = window_s
        self._now = now
        self._windows: dict[_Place, _Window] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged. The first of a new window says how many were not."""
        if not any(record.name == name or record.name.startswith(f"{name}.") for name in self._names):
            return True
        now = self._now()
        with self._lock:
            window = self._windows.setdefault((record.pathname, record.lineno, record.levelname), _Window(now))
            left_out = 0
            if now - window.began >= self._window_s:
                left_out, window.began, window.passed, window.left_out = window.left_out, now, 0, 0
            window.passed += 1
            if window.passed > self._lines:
                window.left_out += 1
                return False
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} lines like this one were left out before)"
            record.args = None
        return True
