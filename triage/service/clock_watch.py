"""The clock between sweeps: whether removals by age may go on."""

from __future__ import annotations

import logging

from triage.errors import cause
from triage.spool.clock import Clock, ClockState, Instant, next_state
from triage.spool.store import Store

logger = logging.getLogger(__name__)


class ClockWatch:
    """The state of the clock at the last sweep of this process; None before the first. ``clock``: for tests."""

    def __init__(self, spool: Store, clock: Clock | None = None) -> None:
        self._clock = clock or Clock(spool)
        self._state: ClockState | None = None
        self._is_agreed = True

    @property
    def has_jumped(self) -> bool:
        """True from a jump of the clock until it has been steady."""
        return self._state is not None and self._state.has_jumped

    @property
    def is_doubted(self) -> bool:
        """True from a jump of the clock until it has been steady, and while this machine's is not the store's."""
        return self.has_jumped or not self._is_agreed

    def look(self) -> tuple[float, bool]:
        """Return the time in POSIX seconds, and whether what cannot be undone may go by it; log what is new.

        Raises OSError if the store's clock cannot be read.
        """
        now = self._clock.instant()
        self._compare(now)
        return now.at, self._is_steady(now) and now.is_agreed

    def _compare(self, now: Instant) -> None:
        if self._is_agreed and not now.is_agreed:
            logger.error(
                "this machine's clock is %+.0f s from the database's: no study is removed and none leaves the list by "
                "age while this host sweeps; set the clock that is wrong",
                now.off_s,
            )
        self._is_agreed = now.is_agreed

    def _is_steady(self, now: Instant) -> bool:
        before = self._state or self._clock.read()
        try:
            state = self._clock.poll(now)
        except OSError as error:  # a full disk: what is too old is what has to go
            logger.error("sweep: the time cannot be written down (%s)", cause(error))
            state = next_state(before, now)
        if state.has_jumped and not (before and before.has_jumped and before.jump_s == state.jump_s):
            logger.error(
                "the clock jumped by %+.0f s: no study is removed and none leaves the list by age until it has been "
                "steady for a day, or a person has looked at it: triage clock",
                state.jump_s,
            )
        self._state = state
        return state.is_steady
