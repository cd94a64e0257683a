"""A machine's clock as a spool knows it."""

from __future__ import annotations

import json
from dataclasses import asdict

from triage.spool.clock import ClockState, read_clocks
from triage.spool.spool import Spool


def jumped(spool: Spool) -> None:
    """The sweep has just seen the clock jump back by a day."""
    now = read_clocks()
    state = ClockState(now.at, now.since_boot, now.boot, jump_s=-24 * 3600.0)
    (spool.root / "control" / "clock.json").write_text(json.dumps(asdict(state)))
