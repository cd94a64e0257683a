"""Whether this machine's clock may be believed in what cannot be undone: removing studies, taking them off the list.

The sweep notes at each look what time it is, in ``control/clock.json``. A step between two looks that the time since
boot does not explain, or a gap in which nobody looked, is a jump: from then on nothing is removed until the clock has
been looked at for a day and made no other, or a person has said that it is right. See docs/adr/0040.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from triage.spool.spool import Spool

STEADY_S = 24 * 3600.0
"""For how long the clock has to be steady."""

_STEP_S = 60.0  # of less than a minute nothing depends that is counted in days
_GAP_S = 2 * 3600.0  # longer without a look: whether the machine slept or the clock was set cannot be told
_OFF_S = 4 * 24 * 3600.0  # for so long a machine may be switched off
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ClockState:
    """What is known of the clock: ``at``, when it was looked at last, in POSIX seconds and in seconds since ``boot``.

    ``steady_s``: for how long it has been looked at since it jumped. ``jump_s``: by how much that was; 0 if never.
    ``trusted``: a person has said since that it is right.
    """

    at: float
    since_boot: float
    boot: str
    steady_s: float = 0.0
    jump_s: float = 0.0
    trusted: bool = False

    @property
    def is_steady(self) -> bool:
        """Whether it may be believed in what cannot be undone."""
        return self.trusted or self.steady_s >= STEADY_S

    @property
    def has_jumped(self) -> bool:
        """Whether it jumped, and has not been steady since, and no person said that it is right."""
        return bool(self.jump_s) and not self.is_steady


@dataclass(frozen=True)
class Instant:
    """One look at the clocks: POSIX seconds, seconds since boot (those of sleep too), and which boot it was."""

    at: float
    since_boot: float
    boot: str


def look_at_clocks() -> Instant:
    """This moment, by this machine."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return Instant(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), boot)


def next_state(before: ClockState | None, now: Instant) -> ClockState:
    """PURE: the state after a look."""
    fresh = ClockState(now.at, now.since_boot, now.boot)
    if before is None:
        return fresh
    step = now.at - before.at
    if _jumped(before, now, step):
        return replace(fresh, jump_s=step or 1.0)
    counted = max(step, 0.0) if now.boot == before.boot else 0.0
    return replace(before, **{**asdict(now), "steady_s": before.steady_s + counted})


def _jumped(before: ClockState, now: Instant, step: float) -> bool:
    if step < -_STEP_S:
        return True
    if now.boot != before.boot:
        return step > _OFF_S
    return step > _GAP_S or abs(step - (now.since_boot - before.since_boot)) > _STEP_S


@dataclass(frozen=True)
class Clock:
    """The clock of a spool's machine. ``instant`` looks at it."""

    spool: Spool
    instant: Callable[[], Instant] = field(default=look_at_clocks)

    def look(self) -> ClockState:
        """Note what time it is, and return what is known of the clock now. Raises OSError."""
        state = next_state(self.read(), self.instant())
        self._write(state)
        return state

    def read(self) -> ClockState | None:
        """What the last look found; None if there was none, or if it cannot be read."""
        try:
            return _state(json.loads(self._path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def trust(self) -> ClockState:
        """A person says that the clock is right now. Holds until it jumps again. Raises OSError."""
        now = self.instant()
        state = ClockState(now.at, now.since_boot, now.boot, trusted=True)
        self._write(state)
        return state

    def in_doubt(self) -> bool:
        """Whether it has jumped, since the last look or before and not been steady since."""
        before = self.read()
        return before is not None and next_state(before, self.instant()).has_jumped

    @property
    def _path(self) -> Path:
        return self.spool.root / "control" / "clock.json"

    def _write(self, state: ClockState) -> None:
        self.spool.write(self._path, json.dumps(asdict(state)))


def _state(record: dict[str, Any]) -> ClockState:
    """Raises TypeError for what no sweep wrote."""
    state = ClockState(**record)
    numbers = (state.at, state.since_boot, state.steady_s, state.jump_s)
    if not all(type(each) in (int, float) and abs(each) < math.inf for each in numbers) or state.trusted not in (0, 1):
        raise TypeError("not what a sweep notes of the clock")
    return state
