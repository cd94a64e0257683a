"""The DICOM Upper Layer over TLS. The handshake runs in the association's own thread, bounded like every read."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from triage.dicom.tls import MEANINGS, TLSFailure, failure_of
from triage.dicom.upper_layer import BrokenOffError, ConnectionLostError, TimedOutError, UpperLayerConnection


class HandshakeError(ConnectionLostError):
    """The TLS handshake failed; ``failure`` is the reason."""

    def __init__(self, failure: TLSFailure) -> None:
        super().__init__(f"no TLS: {MEANINGS[failure]}")
        self.failure = failure


class SecureConnection(UpperLayerConnection):
    """A connection with TLS. ``context`` returns the TLS context when the handshake begins."""

    encrypted = True

    def __init__(
        self, sock: socket.socket, max_pdu: int, timeout_s: float, context: Callable[[], ssl.SSLContext]
    ) -> None:
        self._context = context
        super().__init__(sock, max_pdu, timeout_s)

    def set_timeout(self, seconds: float) -> None:
        """Bound each later read and write, by Python's timer: after the kernel's, Python's TLS would begin again."""
        self._timeout_s = seconds
        self._socket.settimeout(seconds)

    def open(self) -> None:
        """Do the handshake, within the timeout as a whole. Raises HandshakeError."""
        try:
            secure = self._context().wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket = secure
            secure.settimeout(self._timeout_s)
            if not self._broken_off:
                secure.do_handshake()
        except (OSError, ValueError) as error:
            if self._broken_off:
                raise BrokenOffError from error
            raise HandshakeError(failure_of(error) if isinstance(error, OSError) else TLSFailure.OTHER) from error

    def close_gracefully(self, seconds: float) -> None:
        """Send TLS's close_notify, so that the peer knows that nothing was cut off, and close."""
        with suppress(OSError, ValueError):
            self.set_timeout(seconds)
            if isinstance(self._socket, ssl.SSLSocket) and not self._broken_off:
                self._socket.unwrap()
        super().close_gracefully(seconds)

    def _receive(self, buffer: memoryview) -> int:
        try:
            return super()._receive(buffer)
        except TimeoutError as error:
            raise TimedOutError("the peer is silent") from error

    def _transmit(self, data: bytes) -> None:
        try:
            super()._transmit(data)
        except TimeoutError as error:
            raise TimedOutError("the peer does not read") from error

    def _shut(self, how: int) -> None:
        socket.socket.shutdown(self._socket, how)  # SSLSocket's would have what follows go out unencrypted
