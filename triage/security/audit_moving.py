"""The move of audit lines between files of a host and the database that several hosts share, in either direction."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

from triage.security.audit_file import AuditFile, time_of
from triage.security.audit_rows import AuditRows, MovedLine
from triage.security.audit_sink import AuditLine

_PAGE = 500
_EVER = (0.0, 253_402_300_799.0)  # to the year 9999
_FROM_A_FILE = "moved from a file"

Trail = AuditFile | AuditRows


@dataclass(frozen=True)
class TrailMove:
    """Numbers of a move of lines: those of the source, those that were new in the target, and those that it lacks."""

    lines: int
    new: int
    missing: int


def move_lines(source: Trail, target: Trail) -> TrailMove:
    """Copy every line that the target lacks, each once however often it is called, and compare both.

    Lines are told apart by their digest, and by which of equal ones they are, so that renamed files, a call that was
    killed, and lines that went there and come back change nothing. The target keeps what it has besides.
    """
    target.prepare()
    there = {each.key for each in _keyed(target)}
    found = new = 0
    lines = _keyed(source)
    while page := list(islice(lines, _PAGE)):
        found += len(page)
        new += _taken(target, [each for each in page if each.key not in there])
    return TrailMove(found, new, _missing(source, target))


def _taken(target: Trail, lines: list[MovedLine]) -> int:
    """Write lines that the target has not, those of a page together, and return their number."""
    if not lines:
        return 0
    if isinstance(target, AuditRows):
        return target.move(lines)
    target.append_all([each.message for each in lines])
    return len(lines)


def _missing(source: Trail, target: Trail) -> int:
    """Return how many lines of the source the target has not, or not as often."""
    there = Counter(_digest(each.message) for each in _lines(target))
    ours = Counter(_digest(each.message) for each in _lines(source))
    return (ours - there).total()


def _keyed(source: Trail) -> Iterator[MovedLine]:
    """Yield the lines with a key that does not change when a file is renamed: the digest, and which of equal ones."""
    seen: Counter[bytes] = Counter()
    for line in _lines(source):
        digest = _digest(line.message)
        seen[digest] += 1
        yield MovedLine(line, f"{digest.hex()}+{seen[digest]}")


def _lines(trail: Trail) -> Iterator[AuditLine]:
    """Yield every line as both places can have it; a database has no NUL."""
    if isinstance(trail, AuditRows):
        yield from trail.lines(*_EVER)
    else:
        yield from _of_file(trail, socket.gethostname())


def _of_file(file: AuditFile, host: str) -> Iterator[AuditLine]:
    """Yield the lines of a file, also those that are cut.

    A line that a power failure cut has no time of its own; it stands by the line before it.
    """
    at = 0.0
    for message in file.messages():
        at = time_of(message) or at
        yield AuditLine(at, host, _FROM_A_FILE, message.replace("\0", "\ufffd"))


def _digest(message: str) -> bytes:
    return sha256(message.encode()).digest()
