"""The check of this machine's clock before what cannot be undone: removing studies, and taking them off the list.

The sweep polls the clock and records the time in ``control/clock.json``. A step between two polls that the time since
boot does not explain, or a long gap between them, is a jump: nothing is removed until the clock has made no other for a
day of polls, or a person has confirmed it. See docs/adr/0040. In a store of several hosts the time is the database's,
and nothing is removed by a host whose clock is another one (docs/adr/0080).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from triage.decision.records import Record
from triage.spool.store import Store
from triage.spool.tables import Tables

STEADY_S = 24 * 3600.0
"""Seconds for which the clock must be steady."""

_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)"
_STEP_S = 60.0  # nothing that is counted in days depends on a smaller step
_GAP_S = 2 * 3600.0  # after a longer gap, a sleeping machine cannot be told from a clock that was set
_OFF_S = 4 * 24 * 3600.0  # a machine may be switched off for so long
_CONTROL, _ENTRY = "control", "clock.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ClockState:
    """The state of the clock at the last poll: ``at`` in POSIX seconds, ``since_boot`` in seconds since ``boot``.

    ``steady_s``: seconds of polls since the last jump. ``jump_s``: the size of that jump, 0 for none. ``trusted``: a
    person has confirmed the clock since.
    """

    at: float
    since_boot: float
    boot: str
    steady_s: float = 0.0
    jump_s: float = 0.0
    trusted: bool = False

    @property
    def is_steady(self) -> bool:
        """True if the clock may be relied on for what cannot be undone."""
        return self.trusted or self.steady_s >= STEADY_S

    @property
    def has_jumped(self) -> bool:
        """True if it jumped and has been neither steady nor confirmed by a person since."""
        return bool(self.jump_s) and not self.is_steady


@dataclass(frozen=True)
class Instant:
    """One reading of the clocks: POSIX seconds, seconds since boot (with those of sleep), and the ID of the boot.

    ``off_s``: seconds by which this machine's clock is ahead of the store's; 0 where the store has none of its own.
    """

    at: float
    since_boot: float
    boot: str
    off_s: float = 0.0

    @property
    def is_agreed(self) -> bool:
        """True if this machine's clock and the store's show the same time."""
        return abs(self.off_s) <= _STEP_S


def read_clocks() -> Instant:
    """Return this moment by this machine's clocks."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return Instant(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), boot)


def read_clocks_of(store: Store) -> Instant:
    """Return this moment by the database's clock where the store has one, and by this machine's. Raises OSError."""
    here = read_clocks()
    if store.tables is None:
        return here
    begun = time.monotonic()
    now = _database_time(store.tables)
    asked_at = here.at + (time.monotonic() - begun) / 2  # a database that answers late is not behind
    return replace(here, at=now, off_s=asked_at - now)


def time_of(store: Store, here: Callable[[], float] = time.time) -> float:
    """Return this moment in POSIX seconds: by the database's clock where the store has one, else by ``here``.

    It is the time to hold against one of receipt. Raises OSError.
    """
    return here() if store.tables is None else _database_time(store.tables)


def _database_time(tables: Tables) -> float:
    ((at,),) = tables.read(_NOW)
    return float(str(at))


def next_state(before: ClockState | None, now: Instant) -> ClockState:
    """Return the state after a poll. Pure."""
    fresh = ClockState(now.at, now.since_boot, now.boot)
    if before is None:
        return fresh
    step = now.at - before.at
    if _jumped(before, now, step):
        return replace(fresh, jump_s=step or 1.0)
    counted = max(step, 0.0) if now.boot == before.boot else 0.0
    return replace(fresh, steady_s=before.steady_s + counted, jump_s=before.jump_s, trusted=before.trusted)


def _jumped(before: ClockState, now: Instant, step: float) -> bool:
    if step < -_STEP_S:
        return True
    if now.boot != before.boot:
        return step > _OFF_S
    return step > _GAP_S or abs(step - (now.since_boot - before.since_boot)) > _STEP_S


@dataclass(frozen=True)
class Clock:
    """The clock of a store. ``reads`` takes a reading of it."""

    spool: Store
    reads: Callable[[Store], Instant] = field(default=read_clocks_of)

    def instant(self) -> Instant:
        """Return this moment. Raises OSError if the store's clock cannot be read."""
        return self.reads(self.spool)

    def poll(self, now: Instant | None = None) -> ClockState:
        """Record the time, and return the state of the clock. Raises OSError."""
        state = next_state(self.read(), now or self.instant())
        self._write(state)
        return state

    def read(self) -> ClockState | None:
        """Return the state at the last poll; None if there was none, or if it cannot be read."""
        try:
            return _state(json.loads(self.spool.entries(_CONTROL).get(_ENTRY)))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def trust(self) -> ClockState:
        """Record that a person confirms the clock, until it jumps again, and return its state. Raises OSError."""
        now = self.instant()
        state = ClockState(now.at, now.since_boot, now.boot, trusted=True)
        self._write(state)
        return state

    def in_doubt(self) -> bool:
        """Return whether it has jumped since the last poll, or before and not been steady since.

        So it is on a machine whose clock is not the store's: what it notes has another time than that of the others.
        """
        before, now = self.read(), self.instant()
        return not now.is_agreed or (before is not None and next_state(before, now).has_jumped)

    def _write(self, state: ClockState) -> None:
        self.spool.entries(_CONTROL).put(_ENTRY, json.dumps(asdict(state)))


def _state(record: Record) -> ClockState:
    """Return the state in ``record``. Raises TypeError for a record that no sweep wrote."""
    state = ClockState(**record)
    numbers = (state.at, state.since_boot, state.steady_s, state.jump_s)
    if not all(type(each) in (int, float) and abs(each) < math.inf for each in numbers) or state.trusted not in (0, 1):
        raise TypeError("not a record of the clock")
    return state
