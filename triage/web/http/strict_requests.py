"""Requests of which two readers could disagree where they end are refused (RFC 9112 sections 2.2, 6.1 and 7.1).

h11 takes a bare LF for the end of a line, folded header lines, and Transfer-Encoding beside Content-Length. A proxy
before us that reads those in another way would pass on one request where we see two (request smuggling).
"""

from __future__ import annotations

import re
from typing import Any

import h11

_LOOSE_LINE_END = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE = re.compile(rb"\r\n[ \t]")
_END_OF_HEAD = re.compile(rb"\r\n\r\n")
_TAIL = 8  # bytes: more than the last chunk and the empty line behind it


class StrictConnection(h11.Connection):
    """h11's side of a server, that raises RemoteProtocolError where h11 alone would guess."""

    def __init__(self, largest_head: int) -> None:
        """``largest_head`` is in bytes: of request line and headers together."""
        super().__init__(h11.SERVER, largest_head)
        self._tail = b""
        self._chunked = False

    def receive_data(self, data: bytes) -> None:
        """As h11's; the last bytes are kept, to see how a body ended."""
        super().receive_data(data)
        self._tail = (self._tail + data)[-(_TAIL + len(self.trailing_data[0])) :]

    def next_event(self) -> Any:
        """The next event. Raises RemoteProtocolError."""
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
    """Raise RemoteProtocolError if the request line and headers in ``received``, whole or not, have loose line ends."""
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
