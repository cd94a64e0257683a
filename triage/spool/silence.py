"""The silence of a spool's workers, in ``control/silent.json``, so that all processes agree on it (docs/adr/0051)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from triage.spool.entries import Entries
from triage.spool.store import Store

_ENTRY = "silent.json"


def silent_since(spool: Store) -> float | None:
    """Return since when nothing new is listed or delivered, in POSIX seconds; None if it is, 0 if unreadable."""
    try:
        return _read(spool)
    except OSError:
        return 0.0


def switch(spool: Store, silent: bool, now: float, before_change: Callable[[], None] = lambda: None) -> bool:
    """Write a worker's setting to the spool, and return whether it changed. ``before_change`` is called first, once."""
    with _control(spool).lock("silent.lock"):
        if (silent_since(spool) is not None) == silent:
            return False
        before_change()
        if silent:
            _control(spool).put(_ENTRY, json.dumps({"since": now}))
        else:
            _control(spool).remove(_ENTRY, durable=True)
    return True


def silence_text(spool: Store) -> str:
    """Return the text for readiness; empty where results are shown."""
    try:
        since = _read(spool)
    except OSError:
        return "whether new studies are listed and delivered cannot be read from the store"
    if since is None:
        return ""
    return f"silent since {datetime.fromtimestamp(since, UTC):%Y-%m-%d}: new studies are neither listed nor delivered"


def _read(spool: Store) -> float | None:
    """Return since when it is silent; 0 if what is written there is damaged. Raises OSError if it cannot be read."""
    try:
        return float(json.loads(_control(spool).get(_ENTRY))["since"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return 0.0


def _control(spool: Store) -> Entries:
    return spool.entries("control")
