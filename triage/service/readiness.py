"""Readiness of a process that needs the worklist."""

from __future__ import annotations

from threading import Event

from triage.worklist.worklist import Worklist


def ready_with_list(index: Worklist, started: Event, doing: str) -> tuple[bool, str]:
    """Return whether a process has started and the worklist answers, and ``doing`` or why not."""
    if not started.is_set():
        return False, "starting"
    if why := index.why_away():
        return False, why
    return True, doing
