"""Bounds on what pynetdicom reads from a peer that we have called, and on how long it waits for it.

pynetdicom believes the length that a PDU states, and waits for the rest of it without end.
"""

from __future__ import annotations

import logging
import time
from typing import Any

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 1 << 20
"""Bytes of one PDU. What a peer sends us are answers: some hundred bytes, a workitem some KiB. We offer 16 KiB."""
MOST_IN_ALL = 64 << 20
"""Bytes from one association: a message may come in any number of PDUs."""


class PeerOverflowError(OSError):
    """The peer sends more than any answer has. An OSError, so that pynetdicom ends the association."""


class BoundedReads:
    """``recv`` for pynetdicom's socket: at most so much, and each PDU's part within ``timeout_s``."""

    def __init__(self, wrapped: Any, peer: str, timeout_s: float) -> None:
        self._wrapped = wrapped
        self._peer = peer
        self._timeout_s = timeout_s
        self._left = MOST_IN_ALL

    def __call__(self, count: int) -> bytearray:
        """The next ``count`` bytes; fewer where the peer has closed. Raises OSError."""
        if count > min(MOST_AT_ONCE, self._left):
            logger.warning(
                "%s announced more than any answer has (%d bytes): the association is ended", self._peer, count
            )
            raise PeerOverflowError("the peer sends more than any answer has")
        data = bytearray()
        deadline = time.monotonic() + self._timeout_s
        while len(data) < count and (piece := self._wrapped.socket.recv(count - len(data))):
            data += piece
            if len(data) < count and time.monotonic() > deadline:
                logger.warning(
                    "%s did not finish an answer in %g s: the association is ended", self._peer, self._timeout_s
                )
                raise TimeoutError("the peer did not finish a PDU")
        self._left -= len(data)
        return data


def bound(wrapped: Any, peer: str, timeout_s: float) -> None:
    """Bound what ``wrapped``, an AssociationSocket that is connected, reads, and each of its waits for the peer."""
    wrapped.socket.settimeout(timeout_s)
    wrapped.recv = BoundedReads(wrapped, peer, timeout_s)
