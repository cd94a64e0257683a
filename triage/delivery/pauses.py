"""The pauses of destinations that do not answer, which every process sees and which survive a restart."""

from __future__ import annotations

import json
import math

from triage.spool.entries import Entries


def pause_of(pauses: Entries, destination: str) -> tuple[int, float, str]:
    """Return the number of failures in a row, the POSIX time of the next attempt, and why.

    A note that is none of ours pauses nothing.
    """
    try:
        noted = json.loads(pauses.get(f"{destination}.json"))
        failures, next_try, why = int(noted["failures"]), float(noted["next_try"]), str(noted["why"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError):
        return 0, 0.0, ""
    return (failures, next_try, why) if math.isfinite(next_try) else (0, 0.0, "")


def note_pause(pauses: Entries, destination: str, failures: int, next_try: float, why: str) -> None:
    """Note that nothing is tried there until ``next_try``; 0 failures: that it goes on."""
    name = f"{destination}.json"
    if failures:
        pauses.put(name, json.dumps({"failures": failures, "next_try": next_try, "why": why[:500]}))
    else:
        pauses.remove(name)
