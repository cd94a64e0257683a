"""PURE: the state of paging as people see it: on the worklist page, in `triage paging`, in the API."""

from __future__ import annotations

from dataclasses import dataclass

STALE_S = 120.0
"""Seconds without a sign of life after which paging counts as stopped."""


@dataclass(frozen=True)
class PagingStatus:
    """The state at one moment; times in POSIX seconds.

    ``at``: the moment. ``rota``: the one that is paged. ``watched``: raised studies that are not read; ``paged``: those
    of them that were paged. ``undelivered``: pages that a route of the rota has not taken, ``undelivered_since`` the
    oldest of them, ``why`` the last error. ``held``: pages that wait for the cap. ``refused``: addresses of the rota
    that the mail server refused last.
    """

    at: float
    rota: str
    cap_per_hour: int
    watched: int = 0
    paged: int = 0
    undelivered: int = 0
    undelivered_since: float | None = None
    why: str = ""
    held: int = 0
    refused: int = 0

    def alarms(self, now: float) -> list[str]:
        """Return what a reader must know, a sentence each; empty where paging works."""
        if now - self.at > STALE_S:
            return ["Paging does not run: no page is sent."]
        found = []
        if self.undelivered:
            found.append(f"{_pages(self.undelivered)} could not be delivered ({self.why or 'see the log of deliver'}).")
        if self.held:
            found.append(f"The cap of {_pages(self.cap_per_hour)} an hour is reached; waiting: {_pages(self.held)}.")
        if self.refused:
            found.append(f"The mail server refuses {self.refused} of the rota's addresses.")
        return found


NEVER_RAN = "Paging is switched on and does not run: no page is sent."
"""The alarm where there is no status at all."""


def _pages(count: int) -> str:
    return f"{count} page" + ("" if count == 1 else "s")
