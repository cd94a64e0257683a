"""Small named entries and logs: what a room keeps of a study or of the site, whose meaning the room alone knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from typing import Protocol

from triage.decision.records import Record


@dataclass(frozen=True)
class Place:
    """The place of entries in a store: the words that name it, of one study or of the site (empty)."""

    words: tuple[str, ...]
    study_instance_uid: str = ""


class Entries(Protocol):
    """The entries of one place, by name; a name has no slash. Each is read and replaced as a whole.

    Entries of a study are written while its lock is held, and go with the study. Every method raises OSError; a name
    that cannot be one raises ValueError where it would be written or read.
    """

    @property
    def place(self) -> Place:
        """Their place."""

    def prepare(self) -> None:
        """Make the place, durably, unless it is there. The one that it is in must be there."""

    def names(self) -> list[str]:
        """Return the names of all entries, in no particular order; none where there is no such place."""

    def by_time(self) -> list[tuple[float, str]]:
        """Return when each entry was written (POSIX seconds; 0 if it has just gone), and its name, in this order."""

    def each(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each entry that is no log, and when it was written (POSIX seconds), in no order.

        However many they are, they are not all held in memory. One that is written or removed meanwhile may be missed.
        """

    def has(self, name: str) -> bool:
        """Return whether there is an entry; there is none of what can be no name."""

    def get(self, name: str) -> bytes:
        """Return its content. Raises FileNotFoundError if there is none."""

    def put(self, name: str, content: str | bytes, *, durable: bool = True) -> None:
        """Write or replace an entry: no reader sees a part of it, and no crash of the process leaves one.

        Not ``durable``: a power failure may leave it as it was before, where that is faster.
        """

    def note(self, name: str) -> None:
        """Write an empty entry, unless it is there: the first time stands. Durable with ``Batch.settle``."""

    def remove(self, name: str, *, durable: bool = False) -> bool:
        """Remove an entry, durably or not, and return whether it was there."""

    def move(self, name: str, to: Place, new_name: str, *, durable: bool = True) -> None:
        """Move an entry in one step; not durably if it can be repeated. Raises FileNotFoundError if there is none."""

    def clear(self, before: float = inf) -> None:
        """Remove the entries that were written before a time (POSIX seconds)."""

    def append(self, name: str, record: Record) -> None:
        """Append a record to a log, durably; the log is made if it is not there. One writer at a time."""

    def records(self, name: str) -> Sequence[Record]:
        """Return the records of a log, oldest first, without one that a crash cut; none if there is no log.

        Raises ValueError for a record that is none.
        """

    def readable(self, name: str) -> Sequence[Record]:
        """Return the records of a log as ``records`` does, without those that are damaged."""

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Hold a lock of this name in this place, exclusive among all processes; released if the process dies."""


def checked_name(name: str) -> str:
    """Return the name of an entry, or a word of a place. Raises ValueError for what can be none."""
    if not is_name(name):
        raise ValueError(f"not a name in a store: {name[:80]!r}")
    return name


def is_name(name: str) -> bool:
    """Return whether an entry can have this name."""
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")
