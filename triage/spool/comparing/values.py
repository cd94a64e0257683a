"""Values of a comparison: what is looked for, what is found, and how much was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from triage.errors import TriageError


class CompareError(TriageError):
    """The two cannot be compared; the message says what to do."""


class Fault(StrEnum):
    """One way in which a key of the bucket and the rows of the database do not agree."""

    MISSING = "missing"
    """A row names a key that the bucket does not have."""
    SIZE = "size"
    """The bucket has another number of bytes than the row says."""
    CONTENT = "content"
    """The bucket has other bytes than the row says, or does not give them out."""
    UNNAMED = "unnamed"
    """The bucket has a key that no row names."""


@dataclass(frozen=True)
class KeyIdentity:
    """The object under a key; empty where it is not known. ``kept``: the store has this content under another key."""

    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Finding:
    """One difference. ``put_at`` (POSIX seconds) is when the bucket got the object, 0 if it has none."""

    fault: Fault
    key: str
    size: int
    identity: KeyIdentity
    put_at: float = 0.0


@dataclass(frozen=True)
class Look:
    """The part that is compared, and how: all of it, by what both sides list, unless it says otherwise.

    ``after``: begin behind this key. ``most``: end after so many keys, 0 for none. ``read``: read each object, and
    compare its SHA-256. ``put_before`` (POSIX seconds): of keys that no row names, those alone that were put before it.
    ``until``: end with this key; empty for no end.
    """

    after: str = ""
    most: int = 0
    read: bool = False
    put_before: float = inf
    until: str = ""


@dataclass
class LookCounts:
    """Numbers of what was looked at so far, and the last key: a call with it as ``Look.after`` goes on from there."""

    keys: int = 0
    rows: int = 0
    size: int = 0
    last: str = ""
