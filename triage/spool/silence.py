"""Since when the workers of a spool are silent: ``control/silent.json``, so that every process says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from triage.runtime.durable import fsync_folder, held
from triage.spool.spool import Spool


def silent_since(spool: Spool) -> float | None:
    """POSIX seconds since when nothing new is listed or delivered; None where it is. What cannot be read is 0."""
    try:
        return float(json.loads(_file(spool).read_bytes())["since"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def switch(spool: Spool, silent: bool, now: float, note: Callable[[], None] = lambda: None) -> bool:
    """Have the spool say what a worker's settings say; whether that is new. ``note`` is told first, once."""
    with held(spool.root / "control" / "silent.lock"):
        if (silent_since(spool) is not None) == silent:
            return False
        note()
        if silent:
            spool.write(_file(spool), json.dumps({"since": now}))
        else:
            _file(spool).unlink()
            fsync_folder(_file(spool).parent)
    return True


def in_words(spool: Spool) -> str:
    """What readiness says of it; empty where results are shown."""
    since = silent_since(spool)
    if since is None:
        return ""
    return f"silent since {datetime.fromtimestamp(since, UTC):%Y-%m-%d}: new studies are neither listed nor delivered"


def _file(spool: Spool) -> Path:
    return spool.root / "control" / "silent.json"
