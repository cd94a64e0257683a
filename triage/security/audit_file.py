"""The audit trail in files of this host: one that grows, and those that were renamed when they were large."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from triage.errors import StartError
from triage.runtime.durable import append_line, private_folder
from triage.runtime.file_lock import file_lock
from triage.security.audit_sink import AuditLine

_AT = re.compile(r'<EventIdentification [^>]*?EventDateTime="([^"]+)"')


@dataclass(frozen=True)
class AuditFile:
    """A file of lines. Several processes write to it; it is renamed when it is large and never removed by us."""

    path: Path
    rotate_at_bytes: int
    now: Callable[[], float] = time.time
    setting: str = "audit.path"

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def uri(self) -> str:
        """The file."""
        return self.path.absolute().as_uri()

    def prepare(self) -> None:
        """Make its folder."""
        private_folder(self.path.parent)

    def check(self) -> None:
        """Raise StartError if others can read it."""
        if self.path.exists() and self.path.stat().st_mode & 0o077:
            raise StartError(f"audit.path: {self.path} can be read by others: chmod 0600 {self.path}")

    def append(self, message: str) -> None:
        """Write a line."""
        append_line(self.path, message, self.rotate_at_bytes, self._rotated_path())

    def append_all(self, messages: Sequence[str]) -> None:
        """Write lines together: all of them, or none where the disk is full."""
        append_line(self.path, "\n".join(messages), self.rotate_at_bytes, self._rotated_path())

    def lines(self, since: float, until: float) -> Iterator[AuditLine]:
        """Yield the lines of a time, the renamed files' first. A line that a power failure cut is at no time."""
        host = socket.gethostname()
        for message in self.messages():
            if since <= (at := time_of(message)) < until:
                yield AuditLine(at, host, "", message)

    def messages(self) -> Iterator[str]:
        """Yield every line of every file that is there now."""
        for opened in self._opened():
            with opened as file:
                yield from (line.rstrip("\n") for line in file)

    def _opened(self) -> Iterator[TextIO]:
        if not self.path.parent.is_dir():
            return
        with file_lock(self.path.with_name(f".{self.path.name}.lock")):  # nothing is renamed meanwhile
            rotated = sorted(self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}"))
            growing = _text(self.path) if self.path.exists() else None
        yield from map(_text, rotated)
        if growing is not None:
            yield growing

    def _rotated_path(self) -> Path:
        stamp = datetime.fromtimestamp(self.now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}")


def _text(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace", newline="\n")


def time_of(message: str) -> float:
    """Return the time of a message's event, in POSIX seconds; that of 1970 for a line that is cut."""
    if (found := _AT.search(message)) is not None:
        with suppress(ValueError):
            return datetime.fromisoformat(found.group(1)).timestamp()
    return 0.0
