"""Quarantine: unparsable objects are kept for some days, and then removed.

An object has to be too old twice, a day apart: a clock that jumps ahead for an hour removes nothing. A person who wants
to keep one moves it elsewhere.
"""

from __future__ import annotations

import logging

from triage.spool.entries import Entries
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_DAY_S = 24 * 3600.0
_AT_ONCE = 100
_MARK = ".old"


def expire(spool: Store, after_days: float, now: float) -> int:
    """Remove objects (and their notes) that came more than ``after_days`` ago, at most 100, and return their number.

    ``now`` in POSIX seconds. Raises OSError.
    """
    removed = 0
    quarantine, before = spool.entries("quarantine"), now - after_days * _DAY_S
    for name, came in sorted((name, at) for at, name in quarantine.by_time() if at and name.endswith(".dcm")):
        removed += _expired(quarantine, name.removesuffix(".dcm"), came < before, now)
        if removed >= _AT_ONCE:
            break
    if removed:
        logger.info("sweep: %d objects in quarantine were older than %g days and are removed", removed, after_days)
    return removed


def _expired(quarantine: Entries, stem: str, is_old: bool, now: float) -> bool:
    mark = f"{stem}{_MARK}"
    if not is_old:
        quarantine.remove(mark)
        return False
    marked = _read(quarantine, mark)
    if marked is None or not marked <= now:  # NaN too
        quarantine.put(mark, repr(now))
        return False
    if now - marked < _DAY_S or not quarantine.remove(f"{stem}.dcm"):  # a person, or another sweep, was faster
        return False
    quarantine.remove(f"{stem}.json")
    quarantine.remove(mark)
    return True


def _read(quarantine: Entries, mark: str) -> float | None:
    try:
        return float(quarantine.get(mark))
    except (FileNotFoundError, ValueError):
        return None
