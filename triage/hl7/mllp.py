"""MLLP, the Minimal Lower Layer Protocol (HL7 v2.5.1 appendix C), as initiator: sends messages, receives responses."""

from __future__ import annotations

import select
import socket
import ssl
import time
from types import TracebackType
from typing import Self

from triage.dicom.acknowledgement import acknowledge_now
from triage.dicom.tls import ClientTLS, explain
from triage.dicom.unacknowledged import begin_exchange, end_exchange
from triage.errors import TriageError, UnreachableError, cause
from triage.hl7.mllp_frames import Frames, TooLongError, framed

_LONGEST_RESPONSE = 1 << 20
_AT_ONCE = 1 << 16
_PAUSE_S = 0.5  # without bytes, after which a response is at its end


class NoAnswerError(TriageError):
    """The message was sent and no whole response received; it is not known whether the message arrived.

    ``closed_by_peer``: because the peer closed the connection. ``partial``: the part of a response that was received.
    """

    def __init__(self, reason: str, closed_by_peer: bool = False, partial: bytes = b"") -> None:
        super().__init__(reason)
        self.closed_by_peer = closed_by_peer
        self.partial = partial


class MLLPConnection:
    """A connection to one receiver, as a context manager. Entering raises UnreachableError.

    ``timeout_s`` bounds connecting and each write. The files of ``tls`` are read for each connection; without it the
    connection is plain. One that ends between ``send`` and ``answered`` is reset: no part of the message arrives later.
    """

    def __init__(self, host: str, port: int, timeout_s: float, tls: ClientTLS | None = None) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._tls = tls
        self._socket: socket.socket | None = None
        self._frames = Frames(_LONGEST_RESPONSE)
        self._ready: list[bytes] = []
        self._received = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, message: bytes) -> None:
        """Send a message, over a new connection if the peer has closed this one, as some do after each response.

        Raises NoAnswerError, and UnreachableError if no new connection can be made.
        """
        if self._closed_by_peer():
            self._open()
        connected = self._connected()
        begin_exchange(connected, self._timeout_s)
        try:
            connected.sendall(framed(message))
        except OSError as error:
            self.close()
            raise NoAnswerError(f"the connection broke while sending ({cause(error)})", closed_by_peer=True) from error

    def receive(self, deadline: float) -> bytes:
        """Return the content of the peer's next frame.

        Raises NoAnswerError at ``deadline`` (time.monotonic()), or if the peer closes the connection.
        """
        while not self._ready:
            self._receive(deadline)
        self._received += 1
        return self._ready.pop(0)

    def answered(self) -> None:
        """Note that the message is answered: the connection is closed in order from now on."""
        if self._socket is not None:
            end_exchange(self._socket)

    @property
    def received(self) -> int:
        """Number of responses over the present connection."""
        return self._received

    def close(self) -> None:
        """Close the connection; ``send`` opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._frames, self._ready, self._received = None, Frames(_LONGEST_RESPONSE), [], 0

    def _open(self) -> None:
        self.close()
        host, port = self._address
        context = self._context()
        try:
            connected = socket.create_connection(self._address, timeout=self._timeout_s)
            try:
                # The last piece of a long message would wait for the acknowledgement of those before it.
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket = _secured(connected, context, self._tls)
            except BaseException:
                connected.close()
                raise
        except ssl.SSLError as error:
            raise UnreachableError(f"no TLS with {host}:{port}: {explain(error)}") from error
        except OSError as error:
            raise UnreachableError(f"cannot connect to {host}:{port} ({cause(error)})") from error
        except UnicodeError as error:  # of the look-up of the name
            raise UnreachableError(f"cannot connect to {host}:{port} (no name of a host)") from error

    def _context(self) -> ssl.SSLContext | None:
        try:
            return self._tls.context() if self._tls else None
        except (OSError, ValueError) as error:
            host, port = self._address
            raise UnreachableError(f"our files of TLS for {host}:{port} cannot be used: {error}") from error

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._no_answer("no answer in time")
        connected = self._connected()
        connected.settimeout(min(left, _PAUSE_S))
        acknowledge_now(connected)
        try:
            data = connected.recv(_AT_ONCE)
        except TimeoutError as error:
            if error.errno is not None:  # the system's: it has given the connection up
                raise self._no_answer("no answer in time: the receiver acknowledges no bytes") from error
            self._ready += self._frames.end_of_pause()
            return
        except OSError as error:
            raise self._no_answer(f"the connection broke ({cause(error)})", closed_by_peer=True) from error
        if not data:
            self._ready += self._frames.end_of_pause()
            if self._ready:
                return
            raise self._no_answer("the receiver closed the connection without an answer", closed_by_peer=True)
        try:
            self._ready += self._frames.feed(data)
        except TooLongError as error:
            raise self._no_answer("the answer does not end") from error

    def _no_answer(self, reason: str, closed_by_peer: bool = False) -> NoAnswerError:
        partial = self._frames.take_rest()
        self.close()  # a late response must not be taken for that of the next message
        return NoAnswerError(reason, closed_by_peer, partial)

    def _closed_by_peer(self) -> bool:
        if self._socket is None:
            return True
        readable, _, _ = select.select([self._socket], [], [], 0)
        if not readable or self._tls:  # TLS may have records of its own to read
            return False
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise NoAnswerError("not connected")
        return self._socket


def _secured(connected: socket.socket, context: ssl.SSLContext | None, tls: ClientTLS | None) -> socket.socket:
    if context is None or tls is None:
        return connected
    return context.wrap_socket(connected, server_hostname=tls.server_name)
