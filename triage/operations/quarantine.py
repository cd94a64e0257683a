"""Quarantine: unparsable objects are kept for some days, and then removed.

An object has to be too old twice, a day apart: a clock that jumps ahead for an hour removes nothing. A person who wants
to keep one moves it elsewhere.
"""

from __future__ import annotations

import logging
from pathlib import Path

from triage.spool.spool import Spool

logger = logging.getLogger(__name__)

_DAY_S = 24 * 3600.0
_AT_ONCE = 100
_MARK = ".old"


def expire(spool: Spool, after_days: float, now: float) -> int:
    """Remove objects (and their notes) that came more than ``after_days`` ago, at most 100, and return their number.

    ``now`` in POSIX seconds. Raises OSError.
    """
    removed = 0
    for kept in sorted(spool.quarantined.glob("*.dcm")):
        try:
            removed += _expired(spool, kept, now - after_days * _DAY_S, now)
        except FileNotFoundError:  # a person, or another sweep, was faster
            continue
        if removed >= _AT_ONCE:
            break
    if removed:
        logger.info("sweep: %d objects in quarantine were older than %g days and are removed", removed, after_days)
    return removed


def _expired(spool: Spool, kept: Path, before: float, now: float) -> bool:
    mark = kept.with_suffix(_MARK)
    if kept.stat().st_mtime >= before:
        mark.unlink(missing_ok=True)
        return False
    marked = _read(mark)
    if marked is None or not marked <= now:  # NaN too
        spool.write(mark, repr(now))
        return False
    if now - marked < _DAY_S:
        return False
    kept.unlink()
    kept.with_suffix(".json").unlink(missing_ok=True)
    mark.unlink(missing_ok=True)
    return True


def _read(mark: Path) -> float | None:
    try:
        return float(mark.read_text())
    except (FileNotFoundError, ValueError):
        return None
