"""One connection of a sender of reports: messages in, each with its acknowledgement."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from triage.dicom.peer_address import Network, plain
from triage.dicom.proxy_header import SIGNATURE
from triage.dicom.tls import ServerTLS, TLSFailure, explain, failure_of
from triage.errors import cause
from triage.hl7.mllp_frames import Frames, TooLongError, framed, is_message
from triage.inbound_reports.receiver import ReportReceiver
from triage.runtime.logs import seldom

_AT_ONCE = 1 << 16
_LOOK_S = 0.5
_GOODBYE_S = 1.0
"""Seconds that a peer gets to hang up after us."""
_PROXY_TEXT = b"PROXY "
"""The beginning of a header of version 1."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MessageLimits:
    """Limits for one peer and for all.

    A message that has begun has ``message_timeout_s`` to end, and so has a TLS handshake; between two messages a
    connection may be silent for ``idle_timeout_s``.
    """

    max_connections: int
    max_message_bytes: int
    idle_timeout_s: float
    message_timeout_s: float


@dataclass(frozen=True)
class MLLPServer:
    """State shared by all connections.

    Attributes:
        receiver: takes the messages.
        bounds: limits of size and time.
        networks: the addresses that may connect; all if empty.
        stopping: asked between two messages; once true, what has come is answered, and connections end in a pause.
        no_tls: called with the failure of a handshake.
    """

    receiver: ReportReceiver
    bounds: MessageLimits
    networks: Sequence[Network]
    stopping: Callable[[], bool]
    no_tls: Callable[[TLSFailure], None]

    def begin(self, accepted: socket.socket, address: str, tls: ServerTLS | None) -> Sender | None:
        """Return the conversation with a peer that has connected; None for one that may not."""
        if self.networks and not any(plain(address) in each for each in self.networks):
            logger.warning(
                "connections from %s are closed: it is not among reports.source_addresses",
                address,
                extra=seldom(address),
            )
            accepted.close()
            return None
        return Sender(accepted, address, tls, self)

    def superfluous(self, open_now: Sequence[Sender]) -> Sender | None:
        """Connections that were left open must not keep a sender out: the one that was silent longest goes."""
        if len(open_now) < self.bounds.max_connections:
            return None
        logger.warning(
            "more than %d connections: those silent longest are closed", self.bounds.max_connections, extra=seldom()
        )
        return min(open_now, key=lambda each: each.last_heard)


class Sender:
    """A connection."""

    def __init__(self, accepted: socket.socket, address: str, tls: ServerTLS | None, server: MLLPServer) -> None:
        self._socket, self._address, self._tls = accepted, address, tls
        self._server, self._bounds = server, server.bounds
        self._frames = Frames(self._bounds.max_message_bytes)
        self._began = 0.0
        self._has_spoken = False
        self.last_heard = time.monotonic()

    def serve(self) -> None:
        """Hear messages until one side hangs up."""
        try:
            with self._socket as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                plain.settimeout(self._bounds.message_timeout_s)
                with self._secured(plain) as connection:
                    self._converse(connection)
        except OSError as error:  # the peer is gone
            logger.info("connection of %s ended: %s", self._address, cause(error), extra=seldom(self._address))

    def break_off(self) -> None:
        """Hang up, from any thread."""
        with suppress(OSError):  # gone already
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not with the goodbye of TLS

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._tls is None:
            return plain
        try:
            secure = self._tls.context().wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            self._socket = secure
            secure.do_handshake()  # within the timeout as a whole
        except (OSError, ValueError) as error:
            self._socket.close()
            failed = error if isinstance(error, OSError) else OSError(str(error))
            why = failure_of(failed)
            self._server.no_tls(why)
            logger.warning("no TLS with %s: %s", self._address, explain(failed), extra=seldom(f"{self._address} {why}"))
            raise ConnectionAbortedError("no TLS") from error
        return self._socket

    def _converse(self, connection: socket.socket) -> None:
        while True:
            is_last = self._server.stopping()  # asked before the look: what was sent until now is answered
            data = _received(connection, self._look_s(is_last))
            if data is None and is_last and not self._frames.begun:
                _take_leave(connection)
                return
            now = time.monotonic()
            if data and not self._has_spoken and _is_proxy_header(data):
                self._refuse_header()
                return
            if data:
                self.last_heard, self._has_spoken = now, True
            if not self._frames.begun:
                self._began = now
            try:
                frames = self._frames.feed(data) if data else self._frames.end_of_pause()
            except TooLongError as error:
                why = f"longer than {self._bounds.max_message_bytes} bytes"
                self._answer(connection, self._server.receiver.refuse(error.beginning, why))
                return
            self._complain()
            for message in filter(is_message, frames):
                self._answer(connection, self._server.receiver.receive(message))
                self._began = now
            if data == b"" or self._is_over(now):
                return

    def _refuse_header(self) -> None:
        logger.warning(
            "connection of %s closed: it begins with a PROXY header, which is taken from reports.proxy_protocol_from "
            "alone",
            self._address,
            extra=seldom(self._address),
        )

    def _look_s(self, is_last: bool) -> float:
        """Return for how long to wait for bytes: not at all for a peer that was heard, and has begun nothing."""
        return 0.0 if is_last and self._has_spoken and not self._frames.begun else _LOOK_S

    def _complain(self) -> None:
        if count := self._frames.take_dropped():
            logger.warning(
                "%d bytes of %s belong to no message and were dropped: it is not MLLP that is sent there, or a message "
                "was broken off",
                count,
                self._address,
                extra=seldom(self._address),
            )

    def _is_over(self, now: float) -> bool:
        """Return whether the peer's time is over."""
        if self._frames.begun and now - self._began > self._bounds.message_timeout_s:
            logger.warning("connection of %s closed: a message did not end", self._address, extra=seldom(self._address))
            return True
        return now - self.last_heard > self._bounds.idle_timeout_s

    def _answer(self, connection: socket.socket, content: bytes | None) -> None:
        if content is None:
            return
        connection.settimeout(self._bounds.message_timeout_s)
        connection.sendall(framed(content))


def _is_proxy_header(beginning: bytes) -> bool:
    """Return whether the first bytes of a connection are a PROXY header: whose message follows is not known."""
    return beginning.startswith((SIGNATURE, _PROXY_TEXT))


def _received(connection: socket.socket, wait_s: float = _LOOK_S) -> bytes | None:
    """Read some bytes; empty at the end of the stream, None if none came within ``wait_s`` seconds."""
    connection.settimeout(wait_s)
    try:
        return connection.recv(_AT_ONCE)
    except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
        return None


def _take_leave(connection: socket.socket) -> None:
    """Hang up first, and read on until the peer has: closed with bytes unread, the peer may lose our last answer."""
    with suppress(OSError, ValueError):  # gone already, or TLS in which the peer goes on to speak
        connection.settimeout(_GOODBYE_S)
        plain = connection.unwrap() if isinstance(connection, ssl.SSLSocket) else connection
        with plain:
            plain.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + _GOODBYE_S
            while plain.recv(_AT_ONCE) and time.monotonic() < deadline:
                continue
