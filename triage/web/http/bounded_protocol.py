"""One HTTP connection with a time limit on every wait for its peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from triage.web.http.connection_limits import Connections
from triage.web.http.strict_requests import StrictConnection

_LARGEST_HEAD = 16384  # bytes: more than the headers of any browser or proxy
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True)
class Deadlines:
    """Time limits in seconds.

    ``head_s`` and ``body_s`` run from the first byte (or the connection) to the last byte of each part; ``stalled_s``
    limits how long the peer may accept no byte of a response.
    """

    head_s: float = 15.0
    body_s: float = 30.0
    stalled_s: float = 60.0


class RequestPart(Enum):
    """The part of a request that a connection waits for."""

    NONE = auto()
    HEAD = auto()
    BODY = auto()


class BoundedProtocol(H11Protocol):
    """The HTTP protocol of uvicorn with deadlines on requests and responses.

    uvicorn itself only limits the pause between two requests. Malformed requests write nothing to the log.
    """

    def __init__(
        self,
        server: uvicorn.Server,
        connections: Connections,
        deadlines: Deadlines,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(server.config, server.server_state, server.lifespan.state)
        self.conn = StrictConnection(_LARGEST_HEAD)
        self._connections = connections
        self._deadlines = deadlines
        self._is_draining = is_draining
        self._waiting: asyncio.TimerHandle | None = None
        self._waits_for = RequestPart.NONE
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """Address of the peer."""
        return self.client[0] if self.client else ""

    @property
    def waits(self) -> bool:
        """True if no response is due: there is no request, only a part of one, or all are answered."""
        return self.cycle is None or self.cycle.response_complete or self.conn.their_state is h11.SEND_BODY

    def leave(self) -> None:
        """Close the connection now."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection if the limits allow it, and limit the wait for a request."""
        super().connection_made(transport)
        if not self._connections.admit(self):
            transport.abort()
            return
        self._wait_for(RequestPart.HEAD, self._deadlines.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection and stop its timers."""
        self._connections.discard(self)
        self._wait_for(RequestPart.NONE)
        self._no_longer_stalled()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a request, unless the connection is closing."""
        if self.transport.is_closing():  # refused or closed: bytes that were read before are dropped
            return
        super().data_received(data)
        if self._is_draining():
            self.close_after_response()
        self._wait_on()

    def close_after_response(self) -> None:
        """Make the response in progress the last one, and say so in its headers if they are still to be sent.

        A proxy then sends its next request over another connection, instead of over one that is about to be closed.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.keep_alive:
            return
        cycle.keep_alive = False
        if not cycle.response_started:
            cycle.default_headers = [*cycle.default_headers, _CLOSE]

    def on_response_complete(self) -> None:
        """Limit the wait for the next request."""
        super().on_response_complete()
        self._wait_on()

    def pause_writing(self) -> None:
        """Limit the time in which the peer accepts no byte."""
        super().pause_writing()
        self._no_longer_stalled()
        self._stalled = self.loop.call_later(self._deadlines.stalled_s, self.leave)

    def resume_writing(self) -> None:
        """Stop that timer: the peer accepts bytes again."""
        self._no_longer_stalled()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond with 400, unless a response has begun: then the connection just ends.

        A response of the application to an earlier request can no longer be sent and must not be written after it.
        """
        with suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _wait_on(self) -> None:
        """Start the time limit of the next part that the peer has to send."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._wait_for(RequestPart.BODY, self._deadlines.body_s)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait_for(RequestPart.HEAD, self._deadlines.head_s)
        else:  # a whole request, or a pause between two, which uvicorn limits itself
            self._wait_for(RequestPart.NONE)

    def _wait_for(self, part: RequestPart, seconds: float = 0.0) -> None:
        """Start a time limit; a further byte does not start it again."""
        if part is self._waits_for:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._waits_for = part
        self._waiting = self.loop.call_later(seconds, self._too_slow) if part is not RequestPart.NONE else None

    def _too_slow(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            with suppress(h11.LocalProtocolError):
                self._answer_408()
        self.leave_soon()

    def _answer_408(self) -> None:
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            head = h11.Response(status_code=408, headers=[("connection", "close"), ("content-length", "0")])
            self.transport.write(self.conn.send(head))

    def leave_soon(self) -> None:
        """Close the connection when all bytes are sent, after a second at the latest."""
        self.transport.close()
        self.loop.call_later(1.0, self.leave)

    def _no_longer_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
