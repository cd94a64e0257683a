"""The place of audit lines: files of one host, or the database of several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class AuditLine:
    """One line as it was written: its message, when (POSIX seconds), at which host and by which process."""

    at: float
    host: str
    process: str
    message: str


class AuditSink(Protocol):
    """A place that takes lines of one process and never changes or removes one."""

    @property
    def name(self) -> str:
        """The place, for a person."""
        ...

    @property
    def uri(self) -> str:
        """The place, for the trail itself."""
        ...

    @property
    def setting(self) -> str:
        """The setting that names it."""
        ...

    def now(self) -> float:
        """Return the time, in POSIX seconds, by the clock that orders its lines. Raises OSError."""
        ...

    def prepare(self) -> None:
        """Make it, if it is not there. Raises OSError."""

    def check(self) -> None:
        """Raise StartError if it may not be used as it is; OSError."""

    def append(self, message: str) -> None:
        """Write a line: when this returns it is kept, also after a power failure. Raises OSError if it may not be."""


class AuditLines(Protocol):
    """A place whose lines can be read again."""

    def lines(self, since: float, until: float) -> Iterator[AuditLine]:
        """Yield the lines of ``since <= at < until`` (POSIX seconds), in order. Raises OSError."""
        ...
