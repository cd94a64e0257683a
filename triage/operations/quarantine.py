"""Quarantine: unparsable objects are kept for some days, and then removed.

An object has to be too old twice, a day apart: a clock that jumps ahead for an hour removes nothing. A person who wants
to keep one moves it elsewhere.
"""

from __future__ import annotations

import logging
from itertools import islice

from triage.spool.entries import Entries
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_DAY_S = 24 * 3600.0
_AT_ONCE = 100
_OBJECT = ".dcm"
_MARK = ".old"


def expire(spool: Store, after_days: float, now: float) -> int:
    """Remove objects (and their notes) that came more than ``after_days`` ago, at most 100, and return their number.

    What is in quarantine is gone through one by one, however much it is; in memory are the names of those that were
    too old once. ``now`` in POSIX seconds. Raises OSError.
    """
    quarantine, before = spool.entries("quarantine"), now - after_days * _DAY_S
    marked = {stem for name, _ in quarantine.each() if (stem := name.removesuffix(_MARK)) != name}
    objects = ((name.removesuffix(_OBJECT), at) for name, at in quarantine.each() if name.endswith(_OBJECT))
    expired = (stem for stem, at in objects if _has_expired(quarantine, stem, (at < before, stem in marked), now))
    removed = sum(_is_removed(quarantine, stem) for stem in islice(expired, _AT_ONCE))
    if removed:
        logger.info("sweep: %d objects in quarantine were older than %g days and are removed", removed, after_days)
    return removed


def _has_expired(quarantine: Entries, stem: str, is_old_and_marked: tuple[bool, bool], now: float) -> bool:
    """Return whether an object is too old for the second time, a day after the first, which is marked."""
    is_old, is_marked = is_old_and_marked
    mark = f"{stem}{_MARK}"
    if not is_old:
        if is_marked:
            quarantine.remove(mark)
        return False
    marked = _read(quarantine, mark) if is_marked else None
    if marked is None or not marked <= now:  # NaN too
        quarantine.put(mark, repr(now))
        return False
    return now - marked >= _DAY_S


def _is_removed(quarantine: Entries, stem: str) -> bool:
    if not quarantine.remove(f"{stem}{_OBJECT}"):  # a person, or another sweep, was faster
        return False
    quarantine.remove(f"{stem}.json")
    quarantine.remove(f"{stem}{_MARK}")
    return True


def _read(quarantine: Entries, mark: str) -> float | None:
    try:
        return float(quarantine.get(mark))
    except (FileNotFoundError, ValueError):
        return None
