"""PURE: frames of MLLP, written and read, as peers write them (ADR 35).

The frame is that of HL7 v2.5.1 appendix C: 0x0B, the message, 0x1C 0x0D. Also accepted are frames without the first or
the last byte, or with a line feed in its place; bytes of the frame within a text; frames without a message (to keep a
connection alive); and the responses of one byte of MLLP Release 2.
"""

from __future__ import annotations

import re

from triage.errors import TriageError

START, END = b"\x0b", b"\x1c\r"
POSITIVE, NEGATIVE = b"\x06", b"\x15"
"""Frames of MLLP Release 2 that acknowledge a frame as such, and no message."""

_FS = 0x1C
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # in UTF-8
_BEGIN = re.compile(rb"\x0b|(?<=[\r\n])(?=(?:\xef\xbb\xbf)?(?:MSH|FHS|BHS)[^\sA-Za-z0-9])")
_RESTART = rb"\x0b(?=[\r\n]*(?:\xef\xbb\xbf)?[\r\n]*MSH)"  # no text continues like this
_NEXT = re.compile(rb"\x1c(?:[\r\n]|(?=\x0b))|" + _RESTART)
_LONGEST_MATCH = 16  # bytes; more than any of these expressions matches
_IGNORED = b" \t\r\n\0\x06\x15\x1c" + _BYTE_ORDER_MARK


class TooLongError(TriageError):
    """A message has no end within the limit; ``beginning`` is its first part."""

    def __init__(self, beginning: bytes) -> None:
        super().__init__("a message without an end")
        self.beginning = beginning


def framed(message: bytes) -> bytes:
    """Return a message in its frame."""
    return START + message + END


def is_message(frame: bytes) -> bool:
    """Return whether a frame contains a message, which can be processed and acknowledged."""
    return frame not in (b"", POSITIVE, NEGATIVE)


class Frames:
    """Splits a stream of bytes into frames. ``longest`` bounds a frame, in bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray(b"\r")  # so that a header without a start byte is at the beginning of a line
        self._begun = False
        self._searched = 0
        self._dropped = 0

    @property
    def begun(self) -> bool:
        """True if a frame has begun and not ended."""
        return self._begun

    @property
    def may_be_whole(self) -> bool:
        """True if the last byte ends a frame unless more bytes follow: some senders omit the one behind it."""
        return self._begun and self._buffer[-1] == _FS

    def feed(self, data: bytes) -> list[bytes]:
        """Add received bytes; return the content of the frames that end in them. Raises TooLongError."""
        self._buffer += data
        frames = []
        while self._at_a_beginning():
            mark = _NEXT.search(self._buffer, max(self._searched, 1))
            if mark is None or mark.start() > self._longest:
                break
            if mark[0] == START:  # the sender stopped, and began the message again
                self._drop(mark.start())
            else:
                frames.append(self._cut(mark.start()))
        if len(self._buffer) > self._longest + _LONGEST_MATCH:
            raise TooLongError(_content(self._buffer[:4096]))
        self._searched = max(len(self._buffer) - _LONGEST_MATCH, 0) if self._begun else 0
        return frames

    def end_of_pause(self) -> list[bytes]:
        """Return the frame that ``may_be_whole``, when no byte has come for some time."""
        return [self._cut(len(self._buffer) - 1)] if self.may_be_whole else []

    def take_rest(self) -> bytes:
        """Return and remove the received part of a message whose end will not come."""
        rest, self._buffer, self._begun = bytes(self._buffer), bytearray(b"\r"), False
        return _content(rest)

    def take_dropped(self) -> int:
        """Return the number of bytes outside of messages since the last call; line ends and the like do not count."""
        count, self._dropped = self._dropped, 0
        return count

    def _at_a_beginning(self) -> bool:
        if not self._begun:
            begin = _BEGIN.search(self._buffer)
            self._drop(begin.start() if begin else max(len(self._buffer) - _LONGEST_MATCH, 0))
            self._begun = begin is not None
        return self._begun

    def _drop(self, count: int) -> None:
        self._dropped += sum(byte not in _IGNORED for byte in self._buffer[:count])
        del self._buffer[:count]
        self._searched = 0

    def _cut(self, end: int) -> bytes:
        frame = _content(self._buffer[:end])
        del self._buffer[: end + 1]
        if not self._buffer:
            self._buffer += b"\r"
        self._begun, self._searched = False, 0
        return frame


def _content(frame: bytes | bytearray) -> bytes:
    """Return the message without the start byte and the bytes that some senders write before it."""
    return bytes(frame).removeprefix(START).lstrip(b"\r\n").removeprefix(_BYTE_ORDER_MARK).lstrip(b"\r\n")
