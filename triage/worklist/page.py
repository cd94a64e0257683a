"""Pages of the worklist, and the cursors between them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from triage.decision.types import TriageDecision
from triage.errors import TriageError
from triage.worklist.index_keys import READING_ORDER, readable, study_of


class BadCursorError(TriageError, ValueError):
    """A cursor that this worklist did not return: start again without one."""


@dataclass(frozen=True)
class Page:
    """Some entries in reading order, and the cursor of the next page (None on the last).

    ``skipped``: the number of studies whose entry is lost or unreadable, until the sweep has repaired it.
    """

    entries: tuple[TriageDecision, ...]
    next_cursor: str | None
    skipped: int = 0


@dataclass(frozen=True)
class Position:
    """The start of a page: behind ``member`` in ``segment`` (0: past the waiting cap, 1..3: by priority).

    ``as_of_us``, in microseconds, stays that of the first page, so that no study passes the cap between two pages.
    """

    as_of_us: int
    segment: int
    member: bytes


def readable_entries(
    found: Iterable[tuple[Position, bytes | None]],
) -> tuple[list[tuple[Position, TriageDecision]], set[str]]:
    """Return the readable entries, and the studies whose entries are lost or unreadable."""
    matching: dict[str, tuple[Position, TriageDecision]] = {}
    skipped: set[str] = set()
    for position, entry in found:
        uid = study_of(position.member)
        decision = readable(entry, uid)
        if decision is None:
            skipped.add(uid)
        else:
            matching.setdefault(uid, (position, decision))  # a study that is in two lists is shown once
    return list(matching.values()), skipped


def write_cursor(position: Position) -> str:
    """Return the cursor of a position."""
    text = f"{position.as_of_us},{position.segment},{position.member.decode()}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Return the position of a cursor. Raises BadCursorError."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        as_of, segment, member = text.split(",", 2)
        position = Position(int(as_of), int(segment), member.encode())
    except (ValueError, binascii.Error) as error:
        raise BadCursorError("not a cursor of this worklist: start again without one") from error
    if not (0 <= position.segment <= len(READING_ORDER) and "|" in member):
        raise BadCursorError("not a cursor of this worklist: start again without one")
    return position
