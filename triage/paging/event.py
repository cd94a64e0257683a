"""PURE: the paging of one raised study: since when, the pages so far, and the one on its way."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Self

from triage.decision.records import Record


@dataclass(frozen=True)
class PendingPage:
    """A page on its way. Times in POSIX seconds.

    ``rota``: the rota that a route of which has taken it; empty until one has. ``tries``: attempts by route, each
    counted before it is made. ``taken``: when a route took it.
    """

    number: int
    since: float
    rota: str = ""
    tries: dict[str, int] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PagingEvent:
    """A raised study that is not read. Times in POSIX seconds.

    ``since``: when paging learned that it was raised. ``revision``: of the decision that raised it. ``number``: pages
    that were sent. ``last_page_at``: when the last of them was taken. ``contact`` and ``contact_at``: the last opening,
    claim or acknowledgement by a reader; ``contact_noted`` is its time as it was noted, by which it is known again.
    ``unreached_since``: since when a route of the rota has taken no page about the study, while another one has.
    """

    study_instance_uid: str
    revision: str
    since: float
    number: int = 0
    last_page_at: float | None = None
    contact: str = ""
    contact_at: float | None = None
    contact_noted: float | None = None
    pending: PendingPage | None = None
    unreached_since: float | None = None

    @property
    def identity(self) -> str:
        """Name of this event in messages: the same for each of its pages, and of no other event."""
        text = f"page\n{self.study_instance_uid}\n{self.since!r}"
        return sha256(text.encode()).hexdigest()[:32]

    def to_record(self) -> Record:
        """Return the event as a JSON object."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the event in ``record``. Raises ValueError, KeyError or TypeError for one of another program."""
        pending = record.get("pending")
        event = cls(**{**record, "pending": PendingPage(**pending) if pending else None})
        if not all(math.isfinite(each) for each in _times(event)):
            raise ValueError("a time that no event has")
        return event


def _times(event: PagingEvent) -> list[float]:
    pending = event.pending
    times = [
        event.since,
        event.last_page_at,
        event.contact_at,
        event.unreached_since,
        *((pending.since,) if pending else ()),
    ]
    return [float(each) for each in times if each is not None]


def as_of(event: PagingEvent, now: float) -> PagingEvent:
    """Return the event with no time after ``now``: what a clock that was ahead wrote counts from now on. Keep it.

    So a clock that is set back delays a page by one interval at most, and loses none.
    """
    if all(each <= now for each in _times(event)):
        return event
    pending = event.pending
    return replace(
        event,
        since=min(event.since, now),
        last_page_at=None if event.last_page_at is None else min(event.last_page_at, now),
        contact_at=None if event.contact_at is None else min(event.contact_at, now),
        unreached_since=None if event.unreached_since is None else min(event.unreached_since, now),
        pending=None if pending is None else replace(pending, since=min(pending.since, now)),
    )
