"""The progress of a peer, by which an association that sends almost nothing is ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

ENOUGH = 4096
"""Bytes of a data set that count as progress."""


class PeerProgress:
    """The time of a peer's last progress, in seconds of ``time.monotonic``.

    Progress is a C-STORE request, a part of its data set, and its end. A C-ECHO is none: a peer that only verifies the
    connection must not keep another sender out.
    """

    def __init__(self) -> None:
        self._at = self._message_at = time.monotonic()
        self._bytes = 0
        self._waits_for_us = False

    def made(self) -> None:
        """Record that the peer made progress just now."""
        self._at = time.monotonic()
        self._bytes = 0

    def received(self, count: int) -> None:
        """Record that ``count`` more bytes of a data set were received."""
        self._bytes += count
        if self._bytes >= ENOUGH:
            self.made()

    def message_begins(self) -> None:
        """Record that a message of any kind begins."""
        self._message_at = time.monotonic()

    @contextmanager
    def waits_for_us(self) -> Iterator[None]:
        """Count the peer as active while we process what it has sent."""
        self._waits_for_us = True
        try:
            yield
        finally:
            self.made()
            self._waits_for_us = False

    def idle_s(self, now: float) -> float:
        """Return the seconds until ``now`` since the peer made progress; 0 while it waits for us."""
        return 0.0 if self._waits_for_us else now - self._at

    def message_stalls(self, seconds: float) -> bool:
        """Return whether a message that has begun made no progress for ``seconds``."""
        return time.monotonic() - max(self._at, self._message_at) > seconds
