"""Readiness of a process that needs the worklist, and of one that stops."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from triage.runtime.drain import Drain
from triage.runtime.health import Readiness


def ready_with_list(why_away: Callable[[], str], started: Event, doing: str) -> tuple[bool, str]:
    """Return whether a process has started and the worklist answers, and ``doing`` or why not.

    ``why_away`` says why the worklist does not answer.
    """
    if not started.is_set():
        return False, "starting"
    if why := why_away():
        return False, why
    return True, doing


def ready_until(drain: Drain, working: Readiness, elsewhere: str) -> tuple[bool, str]:
    """Return ``working()`` until a process is told to stop. Then it is not ready, and says what goes elsewhere."""
    return (False, f"stopping: {elsewhere}") if drain.has_begun else working()
