"""Frames as peers write them, in whatever pieces they arrive."""

from __future__ import annotations

import pytest

from triage.hl7.mllp_frames import Frames, TooLongError, framed, is_message

MESSAGE = b"MSH|^~\\&|RIS\rOBX|1|TX|||one\rOBR|1\r"

STREAMS: dict[str, tuple[bytes, list[bytes]]] = {
    "as it should be": (framed(MESSAGE), [MESSAGE]),
    "two": (framed(MESSAGE) + framed(MESSAGE), [MESSAGE, MESSAGE]),
    "no start byte": (MESSAGE + b"\x1c\r", [MESSAGE]),
    "no start byte behind another": (framed(MESSAGE) + MESSAGE + b"\x1c\r", [MESSAGE, MESSAGE]),
    "the end is 0x1C alone": (b"\x0b" + MESSAGE + b"\x1c", [MESSAGE]),
    "0x1C alone, and another": (b"\x0b" + MESSAGE + b"\x1c" + framed(MESSAGE), [MESSAGE, MESSAGE]),
    "the end is 0x1C LF": (b"\x0b" + MESSAGE + b"\x1c\n" + framed(MESSAGE), [MESSAGE, MESSAGE]),
    "0x1C CR LF": (framed(MESSAGE) + b"\n" + framed(MESSAGE) + b"\n", [MESSAGE, MESSAGE]),
    "noise": (b"hello\r\n" + framed(MESSAGE) + b"\r\n\0" + framed(MESSAGE), [MESSAGE, MESSAGE]),
    "a byte order mark": (framed(b"\xef\xbb\xbf" + MESSAGE), [MESSAGE]),
    "a byte order mark and no start": (b"\xef\xbb\xbf" + MESSAGE + b"\x1c\r", [MESSAGE]),
    "line ends before it": (framed(b"\r\n" + MESSAGE), [MESSAGE]),
    "0x0B in a text": (framed(MESSAGE.replace(b"one", b"o\x0bne")), [MESSAGE.replace(b"one", b"o\x0bne")]),
    "0x1C in a text": (framed(MESSAGE.replace(b"one", b"o\x1cne")), [MESSAGE.replace(b"one", b"o\x1cne")]),
    "MSH in a text": (framed(MESSAGE.replace(b"one", b"MSH|")), [MESSAGE.replace(b"one", b"MSH|")]),
    "a sender that began anew": (b"\x0bMSH|^~\\&|half" + framed(MESSAGE), [MESSAGE]),
    "empty frames": (framed(b"") + framed(MESSAGE) + framed(b""), [b"", MESSAGE, b""]),
    "answers of MLLP Release 2": (framed(b"\x06") + framed(b"\x15"), [b"\x06", b"\x15"]),
    "a batch": (framed(b"FHS|^~\\&\rBHS|^~\\&\r" + MESSAGE), [b"FHS|^~\\&\rBHS|^~\\&\r" + MESSAGE]),
    "no frame at all": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", []),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_same_messages_in_whatever_pieces_it_comes(name: str, size: int) -> None:
    stream, expected = STREAMS[name]
    frames = Frames(1000)
    found: list[bytes] = []
    for start in range(0, len(stream), size):
        found += frames.feed(stream[start : start + size])
    assert found + frames.end_of_pause() == expected
    assert not frames.begun


def test_only_what_can_be_answered_is_a_message() -> None:
    assert [is_message(frame) for frame in (b"", b"\x06", b"\x15", b"x", MESSAGE)] == [False] * 3 + [True] * 2


def test_what_was_dropped_is_counted_and_what_means_nothing_is_not() -> None:
    frames = Frames(1000)
    frames.feed(b"\r\n\x06\0" + framed(MESSAGE) + b"\r\n")
    assert frames.take_dropped() == 0
    frames.feed(b"hello\r\n" + framed(MESSAGE) + b"\x0bMSH|^~\\&|half" + framed(MESSAGE))
    assert frames.take_dropped() == len(b"hello") + len(b"\x0bMSH|^~\\&|half")
    assert frames.take_dropped() == 0


def test_no_more_is_kept_than_may_be() -> None:
    frames = Frames(10)
    assert frames.feed(b"x" * 1000) == []
    assert not frames.begun
    assert frames.feed(b"\x0b12345\x1c") == []
    assert frames.feed(b"\r") == [b"12345"]
    with pytest.raises(TooLongError) as long:
        frames.feed(b"\x0b" + b"x" * 50)
    assert long.value.beginning == b"x" * 50
    assert frames.take_rest() == b"x" * 50
    assert not frames.begun
