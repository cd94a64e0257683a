"""MLLP, the Minimal Lower Layer Protocol (HL7 v2.5.1 appendix C), as initiator: a message out, its answer in."""

from __future__ import annotations

import select
import socket
import ssl
import time
from types import TracebackType
from typing import Self

from triage.dicom.tls import ClientTLS, explained
from triage.errors import UnreachableError
from triage.hl7.mllp_frames import Frames, TooLongError, framed

_LONGEST_ANSWER = 1 << 20
_AT_ONCE = 1 << 16
_MOMENT_S = 0.5  # after which nothing more of an answer comes


class NoAnswerError(Exception):
    """The message went out and no whole answer came; whether it arrived nobody knows.

    ``hung_up``: because the peer closed the connection. ``begun`` is what had come of an answer.
    """

    def __init__(self, why: str, hung_up: bool = False, begun: bytes = b"") -> None:
        super().__init__(why)
        self.hung_up = hung_up
        self.begun = begun


class MLLPConnection:
    """A connection to one receiver, from ``with`` to its end; ``timeout_s`` bounds connecting and each answer.

    ``tls`` is our side of TLS; None: without. Its files are read for each connection. Entering raises UnreachableError.
    """

    def __init__(self, host: str, port: int, timeout_s: float, tls: ClientTLS | None = None) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._tls = tls
        self._socket: socket.socket | None = None
        self._frames = Frames(_LONGEST_ANSWER)
        self._ready: list[bytes] = []
        self._answers = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, message: bytes) -> None:
        """Send a message. Some receivers close after each answer: then over a new connection.

        Raises NoAnswerError, and UnreachableError if no new connection can be made.
        """
        if self._closed_by_peer():
            self._open()
        try:
            self._connected().sendall(framed(message))
        except OSError as error:
            self.close()
            raise NoAnswerError(f"the connection broke while sending ({_words(error)})", hung_up=True) from error

    def answer(self, deadline: float) -> bytes:
        """What is in the peer's next frame.

        Raises NoAnswerError at ``deadline`` (time.monotonic()), or if the peer hangs up.
        """
        while not self._ready:
            self._receive(deadline)
        self._answers += 1
        return self._ready.pop(0)

    @property
    def answers(self) -> int:
        """How many answers came over the present connection."""
        return self._answers

    def close(self) -> None:
        """End the connection; ``ask`` opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._frames, self._ready, self._answers = None, Frames(_LONGEST_ANSWER), [], 0

    def _open(self) -> None:
        self.close()
        host, port = self._address
        context = self._context()
        try:
            connected = socket.create_connection(self._address, timeout=self._timeout_s)
            try:
                self._socket = _secured(connected, context, self._tls)
            except BaseException:
                connected.close()
                raise
        except ssl.SSLError as error:
            raise UnreachableError(f"no TLS with {host}:{port}: {explained(error)}") from error
        except OSError as error:
            raise UnreachableError(f"nobody answers at {host}:{port} ({_words(error)})") from error
        except UnicodeError as error:  # of the name's look-up
            raise UnreachableError(f"nobody answers at {host}:{port} (no name of a host)") from error

    def _context(self) -> ssl.SSLContext | None:
        try:
            return self._tls.context() if self._tls else None
        except (OSError, ValueError) as error:
            host, port = self._address
            raise UnreachableError(f"our files of TLS for {host}:{port} cannot be used: {error}") from error

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._nothing("no answer in time")
        connected = self._connected()
        connected.settimeout(min(left, _MOMENT_S))
        try:
            data = connected.recv(_AT_ONCE)
        except TimeoutError:
            self._ready += self._frames.pause()
            return
        except OSError as error:
            raise self._nothing(f"the connection broke ({_words(error)})", hung_up=True) from error
        if not data:
            self._ready += self._frames.pause()
            if self._ready:
                return
            raise self._nothing("the receiver closed the connection without an answer", hung_up=True)
        try:
            self._ready += self._frames.feed(data)
        except TooLongError as error:
            raise self._nothing("the answer does not end") from error

    def _nothing(self, why: str, hung_up: bool = False) -> NoAnswerError:
        begun = self._frames.rest()
        self.close()  # an answer that comes too late must not pass for that of the next message
        return NoAnswerError(why, hung_up, begun)

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


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
