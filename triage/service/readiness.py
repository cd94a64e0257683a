"""Readiness of a process that needs the worklist."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event


def ready_with_list(why_away: Callable[[], str], started: Event, doing: str) -> tuple[bool, str]:
    """Return whether a process has started and the worklist answers, and ``doing`` or why not.

    ``why_away`` says why the worklist does not answer.
    """
    if not started.is_set():
        return False, "starting"
    if why := why_away():
        return False, why
    return True, doing
