"""Refuses requests whose end two readers could see at different places (RFC 9112 sections 2.2, 6.1 and 7.1).

h11 accepts a bare LF as a line end, folded header lines, and Transfer-Encoding together with Content-Length. A proxy
that reads these differently would forward one request where we see two (request smuggling).
"""

from __future__ import annotations

import re

import h11

_LOOSE_LINE_END = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE = re.compile(rb"\r\n[ \t]")
_END_OF_HEAD = re.compile(rb"\r\n\r\n")
_TAIL = 8  # bytes: more than the last chunk and the empty line after it


class StrictConnection(h11.Connection):
    """The server side of h11, which raises RemoteProtocolError where h11 alone would guess."""

    def __init__(self, largest_head: int) -> None:
        """Set the largest size of request line and headers together, in bytes."""
        super().__init__(h11.SERVER, largest_head)
        self._tail = b""
        self._chunked = False

    def receive_data(self, data: bytes) -> None:
        """Pass bytes to h11 and remember the last ones, to see how a body ends."""
        super().receive_data(data)
        self._tail = (self._tail + data)[-(_TAIL + len(self.trailing_data[0])) :]

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event. Raises RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunked = _is_chunked(event)
        elif isinstance(event, h11.EndOfMessage) and self._chunked:
            self._check_end(event)
        return event

    def _check_end(self, event: h11.EndOfMessage) -> None:
        behind = len(self.trailing_data[0])
        read = self._tail[: len(self._tail) - behind] if behind else self._tail
        if list(event.headers) or not read.endswith(b"\r\n\r\n"):
            raise h11.RemoteProtocolError("a chunked body has to end with an empty line, and without trailers")


def check_head(received: bytes) -> None:
    """Raise RemoteProtocolError for loose line ends in request line and headers, whole or not."""
    end = _END_OF_HEAD.search(received)
    head = received if end is None else received[: end.end()]
    if _LOOSE_LINE_END.search(head):
        raise h11.RemoteProtocolError("a line has to end with CR LF")
    if _FOLDED_LINE.search(head):
        raise h11.RemoteProtocolError("a header has to stand on one line")


def _is_chunked(request: h11.Request) -> bool:
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" not in names:
        return False
    if b"content-length" in names:
        raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding exclude each other")
    if request.http_version < b"1.1":
        raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding")
    return True
