"""One HTTP connection with a time limit on every wait for its other end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from triage.web.http.connection_limits import Connections
from triage.web.http.strict_requests import StrictConnection

_LARGEST_HEAD = 16384  # bytes: more headers and longer addresses than any browser or proxy sends


@dataclass(frozen=True)
class Deadlines:
    """In seconds. ``head_s`` and ``body_s`` are from the first byte (or the connection) to the last of each;
    ``stalled_s`` is how long the other end may take nothing of an answer.
    """

    head_s: float = 15.0
    body_s: float = 30.0
    stalled_s: float = 60.0


class BoundedProtocol(H11Protocol):
    """uvicorn's, with deadlines on request and answer, and no line of a log for what strangers send.

    uvicorn has a time limit for the pause between two requests only.
    """

    def __init__(self, *args: Any, connections: Connections, deadlines: Deadlines, **values: Any) -> None:
        super().__init__(*args, **values)
        self.conn = StrictConnection(_LARGEST_HEAD)
        self._others = connections
        self._deadlines = deadlines
        self._waiting: asyncio.TimerHandle | None = None
        self._waits_for = ""
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """Of the other end."""
        return self.client[0] if self.client else ""

    @property
    def waits(self) -> bool:
        """Whether we owe no answer: nothing is asked yet, or not all of it is here, or all is answered."""
        return self.cycle is None or self.cycle.response_complete or self.conn.their_state is h11.SEND_BODY

    def leave(self) -> None:
        """Close it now."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._others.admit(self):
            transport.abort()
            return
        self._wait_for("head", self._deadlines.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._others.discard(self)
        self._wait_for("")
        self._no_longer_stalled()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # refused, or told to leave: what was read before is nobody's
            return
        super().data_received(data)
        self._wait_on()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_on()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._no_longer_stalled()
        self._stalled = self.loop.call_later(self._deadlines.stalled_s, self.leave)

    def resume_writing(self) -> None:
        self._no_longer_stalled()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Unless an answer is on its way already: then the connection just ends.

        What the application still answers to the request before is heard by nobody, and must not be written behind.
        """
        with suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _wait_on(self) -> None:
        """Arm the time limit of what has to come next from the other end."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._wait_for("body", self._deadlines.body_s)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait_for("head", self._deadlines.head_s)
        else:  # a whole request, or a pause between two, which uvicorn bounds itself
            self._wait_for("")

    def _wait_for(self, what: str, seconds: float = 0.0) -> None:
        """Once begun, a wait is not begun anew by a further byte."""
        if what == self._waits_for:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._waits_for = what
        self._waiting = self.loop.call_later(seconds, self._too_slow) if what else None

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
        """Close it once what is written has gone out, and in a second in any case."""
        self.transport.close()
        self.loop.call_later(1.0, self.leave)

    def _no_longer_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
