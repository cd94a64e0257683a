"""The offset of this host's clock from the one of all hosts of a store: looked at from time to time, and told."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from triage.spool.clock import Instant, read_clocks_of
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_EVERY_S = 30.0


class HostClock:
    """The offset of this host's clock at the last look. Safe to share between threads.

    A host that is off is told of and not stopped: what it receives is dated by the store, and what it must not do by
    its own clock is withheld where it is done (docs/adr/0100).
    """

    def __init__(self, store: Store, export: Callable[[float], object]) -> None:
        """``export`` is called with seconds, positive for a clock that is ahead; not a number while that is unknown."""
        self._store, self._export = store, export
        self._last: Instant | None = None
        if self.is_of_hosts:
            export(math.nan)

    @property
    def is_of_hosts(self) -> bool:
        """True for a store whose clock is another machine's; in files there is one clock, and nothing to look at."""
        return self._store.tables is not None

    def why_off(self) -> str:
        """Return in words that the clock is off; empty while it agrees, and while that is unknown."""
        last = self._last
        return "" if last is None or last.is_agreed else f"this host's clock is {last.off_s:+.0f} s from the database's"

    def look(self) -> None:
        """Compare the clocks, export the offset, and log a change. Never raises: unknown while the store is away."""
        before = self.why_off()
        try:
            self._last = read_clocks_of(self._store)
        except OSError:  # the processes say by themselves that the database is away
            self._last = None
        self._export(math.nan if self._last is None else self._last.off_s)
        if (now := self.why_off()) and not before:
            logger.error("%s: here no report takes a study off the list, and nothing goes by age; set it right", now)
        elif before and self._last is not None and not now:
            logger.info("this host's clock agrees with the database's again")

    def follow(self, stopped: threading.Event) -> None:
        """Look now, and every half minute until the event is set."""
        while self.is_of_hosts:
            self.look()
            if stopped.wait(_EVERY_S):
                return
