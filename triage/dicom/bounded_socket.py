"""Bounds on what pynetdicom reads from a peer that we have called, and on how long it waits for it.

pynetdicom believes the length that a PDU states, and waits for the rest of it without end.
"""

from __future__ import annotations

import logging
import socket
import time

from pynetdicom.association import Association

from triage.dicom.acknowledgement import acknowledge_now
from triage.dicom.pynetdicom_internals import connected_socket, replace_reader
from triage.errors import TriageError

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 1 << 20
"""Bytes of one PDU. A peer sends us responses: some hundred bytes, a workitem some KiB. We offer 16 KiB."""
MOST_IN_ALL = 64 << 20
"""Bytes from one association: a message may come in any number of PDUs."""


class PeerOverflowError(TriageError, OSError):
    """The peer sends more than any response has. An OSError, so that pynetdicom ends the association."""


class BoundedReader:
    """Reads for pynetdicom: a bounded number of bytes, and each part of a PDU within ``timeout_s``."""

    def __init__(self, connected: socket.socket, peer: str, timeout_s: float) -> None:
        self._socket = connected
        self._peer = peer
        self._timeout_s = timeout_s
        self._left = MOST_IN_ALL

    def __call__(self, count: int) -> bytearray:
        """Return the next ``count`` bytes; fewer where the peer has closed. Raises OSError."""
        if count > min(MOST_AT_ONCE, self._left):
            logger.warning(
                "%s announced more than any response has (%d bytes): the association is ended", self._peer, count
            )
            raise PeerOverflowError("the peer sends more than any response has")
        data = bytearray()
        deadline = time.monotonic() + self._timeout_s
        while len(data) < count and (piece := self._next(count - len(data))):
            data += piece
            if len(data) < count and time.monotonic() > deadline:
                logger.warning(
                    "%s did not finish a response in %g s: the association is ended", self._peer, self._timeout_s
                )
                raise TimeoutError("the peer did not finish a PDU")
        self._left -= len(data)
        return data

    def _next(self, most: int) -> bytes:
        acknowledge_now(self._socket)
        return self._socket.recv(most)


def bound_reads(association: Association, peer: str, timeout_s: float) -> None:
    """Bound what is read over an association that has just been connected, and each wait for the peer."""
    if connected := connected_socket(association):
        # Command and data set are two small writes, and the second would wait for the peer's delayed acknowledgement.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(timeout_s)
        replace_reader(association, BoundedReader(connected, peer, timeout_s))
