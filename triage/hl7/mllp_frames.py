"""PURE: messages in and out of a stream of MLLP, in both directions, as peers speak it (ADR 35).

The frame is that of HL7 v2.5.1 appendix C: 0x0B, the message, 0x1C 0x0D. Read is also what lacks the first byte or the
last, or has a line feed in its place; bytes of the frame within a text; frames without a message (to keep a connection
alive); and the answers of one byte of MLLP Release 2.
"""

from __future__ import annotations

import re

START, END = b"\x0b", b"\x1c\r"
POSITIVE, NEGATIVE = b"\x06", b"\x15"
"""Frames of MLLP Release 2 that acknowledge a frame as such, and no message."""

_FS = 0x1C
_MARK = b"\xef\xbb\xbf"  # a byte order mark in UTF-8
_BEGIN = re.compile(rb"\x0b|(?<=[\r\n])(?=(?:\xef\xbb\xbf)?(?:MSH|FHS|BHS)[^\sA-Za-z0-9])")
_ANEW = rb"\x0b(?=[\r\n]*(?:\xef\xbb\xbf)?[\r\n]*MSH)"  # no text goes on like this
_NEXT = re.compile(rb"\x1c(?:[\r\n]|(?=\x0b))|" + _ANEW)
_LONGEST_MARK = 16  # more than any of these expressions needs to see at once
_OF_NO_MEANING = b" \t\r\n\0\x06\x15\x1c" + _MARK


class TooLongError(Exception):
    """A message without an end; ``begun`` is its beginning."""

    def __init__(self, begun: bytes) -> None:
        super().__init__("a message without an end")
        self.begun = begun


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    return START + message + END


def is_message(frame: bytes) -> bool:
    """Whether there is anything in a frame that can be heard, and answered."""
    return frame not in (b"", POSITIVE, NEGATIVE)


class Frames:
    """Takes what arrives, gives what was in its frames. ``longest`` bounds what is kept of one, in bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray(b"\r")  # so that a header without a start byte is at the beginning of a line
        self._begun = False
        self._looked_at = 0
        self._dropped = 0

    @property
    def begun(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._begun

    @property
    def may_be_whole(self) -> bool:
        """Whether the last byte ends a message, if no more comes: some senders leave out the one behind."""
        return self._begun and self._buffer[-1] == _FS

    def feed(self, data: bytes) -> list[bytes]:
        """What was in the frames that end in ``data``. Raises TooLongError."""
        self._buffer += data
        found = []
        while self._at_a_beginning():
            mark = _NEXT.search(self._buffer, max(self._looked_at, 1))
            if mark is None or mark.start() > self._longest:
                break
            if mark[0] == START:  # the sender broke off, and began anew
                self._drop(mark.start())
            else:
                found.append(self._cut(mark.start()))
        if len(self._buffer) > self._longest + _LONGEST_MARK:
            raise TooLongError(_content(self._buffer[:4096]))
        self._looked_at = max(len(self._buffer) - _LONGEST_MARK, 0) if self._begun else 0
        return found

    def pause(self) -> list[bytes]:
        """The same when nothing has come for a moment: what ``may_be_whole`` is."""
        return [self._cut(len(self._buffer) - 1)] if self.may_be_whole else []

    def rest(self) -> bytes:
        """What has come of a message whose end will not come."""
        rest, self._buffer, self._begun = bytes(self._buffer), bytearray(b"\r"), False
        return _content(rest)

    def dropped(self) -> int:
        """How many bytes were in no message, since this was asked last; line ends and the like are not counted."""
        count, self._dropped = self._dropped, 0
        return count

    def _at_a_beginning(self) -> bool:
        if not self._begun:
            begin = _BEGIN.search(self._buffer)
            self._drop(begin.start() if begin else max(len(self._buffer) - _LONGEST_MARK, 0))
            self._begun = begin is not None
        return self._begun

    def _drop(self, count: int) -> None:
        self._dropped += sum(byte not in _OF_NO_MEANING for byte in self._buffer[:count])
        del self._buffer[:count]
        self._looked_at = 0

    def _cut(self, end: int) -> bytes:
        frame = _content(self._buffer[:end])
        del self._buffer[: end + 1]
        if not self._buffer:
            self._buffer += b"\r"
        self._begun, self._looked_at = False, 0
        return frame


def _content(frame: bytes | bytearray) -> bytes:
    """Without the start byte, and what some senders write before and behind a message."""
    return bytes(frame).removeprefix(START).lstrip(b"\r\n").removeprefix(_MARK).lstrip(b"\r\n")
