"""Log lines that a stranger can cause as often as they like: each kind seldom, with the number of those left out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_MOST_KINDS = 1000


class Seldom:
    """A logger that writes a line of one kind every ``interval_s`` seconds at most.

    A kind is the line before its values are put in, and ``by`` where that tells sources apart. Safe to call from
    several threads.
    """

    def __init__(
        self, logger: logging.Logger, interval_s: float = 60.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger, self._interval_s, self._now = logger, interval_s, now
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # when it was written last, how many since

    def info(self, line: str, *values: object, by: str = "") -> None:
        """As ``Logger.info``."""
        self._log(logging.INFO, line, values, by)

    def warning(self, line: str, *values: object, by: str = "") -> None:
        """As ``Logger.warning``."""
        self._log(logging.WARNING, line, values, by)

    def error(self, line: str, *values: object, by: str = "") -> None:
        """As ``Logger.error``."""
        self._log(logging.ERROR, line, values, by)

    def _log(self, level: int, line: str, values: tuple[object, ...], by: str) -> None:
        left_out = self._left_out((line, by))
        if left_out is None:
            return
        more = f" ({left_out} more such lines since the last)" if left_out else ""
        self._logger.log(level, line + "%s", *values, more)

    def _left_out(self, kind: tuple[str, str]) -> int | None:
        """How many lines of a kind were left out before this one; None if it is left out itself."""
        now = self._now()
        with self._lock:
            written, count = self._kinds.get(kind, (-float("inf"), 0))
            if now - written < self._interval_s:
                self._kinds[kind] = written, count + 1
                return None
            self._kinds.pop(kind, None)
            if len(self._kinds) >= _MOST_KINDS:  # sources that nobody bounds: the oldest kind is forgotten
                del self._kinds[next(iter(self._kinds))]
            self._kinds[kind] = now, 0
            return count
