"""The clock between sweeps: whether removals by age may go on."""

from __future__ import annotations

import logging

from triage.errors import cause
from triage.spool.clock import Clock, ClockState, next_state
from triage.spool.store import Store

logger = logging.getLogger(__name__)


class ClockWatch:
    """The state of the clock at the last sweep of this process; None before the first."""

    def __init__(self, spool: Store) -> None:
        self._clock = Clock(spool)
        self._state: ClockState | None = None

    @property
    def has_jumped(self) -> bool:
        """True from a jump of the clock until it has been steady."""
        return self._state is not None and self._state.has_jumped

    def is_steady(self) -> bool:
        """Read the clocks, log a new jump once, and return whether what cannot be undone may go by this clock."""
        before = self._state or self._clock.read()
        try:
            state = self._clock.poll()
        except OSError as error:  # a full disk: what is too old is what has to go
            logger.error("sweep: the time cannot be written down (%s)", cause(error))
            state = next_state(before, self._clock.instant())
        if state.has_jumped and not (before and before.has_jumped and before.jump_s == state.jump_s):
            logger.error(
                "the clock jumped by %+.0f s: no study is removed and none leaves the list by age until it has been "
                "steady for a day, or a person has looked at it: triage clock",
                state.jump_s,
            )
        self._state = state
        return state.is_steady
