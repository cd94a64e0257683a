"""Whether a peer gets on with what it sends: the bound on an association that drips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

ENOUGH = 4096
"""Bytes of a data set that count as progress."""


class PeerProgress:
    """When a peer last made progress, in seconds of ``time.monotonic``.

    Progress is a C-STORE request, a piece of its data set, and its end. An echo is none: who only asks whether we are
    there keeps no other sender out.
    """

    def __init__(self) -> None:
        self._at = self._message_at = time.monotonic()
        self._bytes = 0
        self._waits_for_us = False

    def made(self) -> None:
        """The peer made progress just now."""
        self._at = time.monotonic()
        self._bytes = 0

    def received(self, count: int) -> None:
        """``count`` more bytes of a data set have come."""
        self._bytes += count
        if self._bytes >= ENOUGH:
            self.made()

    def message_begins(self) -> None:
        """A message begins, of whatever kind."""
        self._message_at = time.monotonic()

    @contextmanager
    def waits_for_us(self) -> Iterator[None]:
        """While we work on what the peer has sent, the silence is ours."""
        self._waits_for_us = True
        try:
            yield
        finally:
            self.made()
            self._waits_for_us = False

    def idle_s(self, now: float) -> float:
        """Seconds until ``now`` since the peer made progress; 0 while it waits for us."""
        return 0.0 if self._waits_for_us else now - self._at

    def message_stalls(self, seconds: float) -> bool:
        """Whether a message that has begun did not get on for ``seconds``."""
        return time.monotonic() - max(self._at, self._message_at) > seconds
