"""The silence of a spool's workers, in ``control/silent.json``, so that all processes agree on it (docs/adr/0051)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from triage.runtime.durable import fsync_folder
from triage.runtime.file_lock import file_lock
from triage.spool.spool import Spool


def silent_since(spool: Spool) -> float | None:
    """Return since when nothing new is listed or delivered, in POSIX seconds; None if it is, 0 if unreadable."""
    try:
        return float(json.loads(_file(spool).read_bytes())["since"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def switch(spool: Spool, silent: bool, now: float, before_change: Callable[[], None] = lambda: None) -> bool:
    """Write a worker's setting to the spool, and return whether it changed. ``before_change`` is called first, once."""
    with file_lock(spool.root / "control" / "silent.lock"):
        if (silent_since(spool) is not None) == silent:
            return False
        before_change()
        if silent:
            spool.write(_file(spool), json.dumps({"since": now}))
        else:
            _file(spool).unlink()
            fsync_folder(_file(spool).parent)
    return True


def silence_text(spool: Spool) -> str:
    """Return the text for readiness; empty where results are shown."""
    since = silent_since(spool)
    if since is None:
        return ""
    return f"silent since {datetime.fromtimestamp(since, UTC):%Y-%m-%d}: new studies are neither listed nor delivered"


def _file(spool: Spool) -> Path:
    return spool.root / "control" / "silent.json"
