"""The move of audit lines from files of a host into the database that several hosts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

from triage.security.audit_file import AuditFile, time_of
from triage.security.audit_rows import AuditRows, MovedLine

_PAGE = 500


def move_lines(source: AuditFile, target: AuditRows) -> tuple[int, int]:
    """Copy every line of the files, also those that are cut, and return how many there are and how many were new."""
    found = new = 0
    lines = _keyed(source)
    while page := list(islice(lines, _PAGE)):
        found += len(page)
        new += target.move(page)
    return found, new


def _keyed(source: AuditFile) -> Iterator[MovedLine]:
    """Yield the lines with a key that does not change when the file is renamed: the digest, and which of equal ones.

    A line that a power failure cut has no time of its own; it stands by the line before it.
    """
    seen: Counter[str] = Counter()
    at = 0.0
    for message in source.messages():
        at = time_of(message) or at
        digest = sha256(message.encode("utf-8", "surrogateescape")).hexdigest()
        seen[digest] += 1
        yield MovedLine(at, message.replace("\0", "\ufffd"), f"{digest}+{seen[digest]}")
