"""The state of paging, for status and page."""

from __future__ import annotations

from triage.paging.status import NEVER_RAN
from triage.paging.store import PagingFiles
from triage.web.api.sources import Sources


def paging_state(sources: Sources) -> dict[str, object] | None:
    """Return the state of paging as JSON, with its alarms in words; None where it is switched off."""
    if not sources.paging:
        return None
    status = PagingFiles(sources.spool).status()
    if status is None:
        return {"alarms": [NEVER_RAN]}
    numbers = ("watched", "paged", "undelivered", "held", "cap_per_hour", "refused")
    return {
        "alarms": status.alarms(sources.now()),
        "rota": status.rota,
        **{name: getattr(status, name) for name in numbers},
    }
