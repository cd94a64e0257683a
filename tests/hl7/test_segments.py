"""Segments as peers end them."""

from __future__ import annotations

import pytest

from triage.hl7.segments import segments_of

SEGMENTS = ["MSH|^~\\&|RIS", "PID|1", "ZDS", "OBX|1|TX"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\r\n", "\n\n"])
def test_segments_end_as_the_first_one_does(end: str, before: str) -> None:
    assert segments_of(before + end.join(SEGMENTS) + end) == SEGMENTS
    assert segments_of(before + end.join(SEGMENTS)) == SEGMENTS


def test_a_line_feed_in_a_text_of_a_message_whose_segments_end_with_cr_is_text() -> None:
    assert segments_of("MSH|^~\\&|A\rOBX|1|TX||one\nOBR|2|\nthree|F\rOBR|1\r") == [
        "MSH|^~\\&|A",
        "OBX|1|TX||one\nOBR|2|\nthree|F",
        "OBR|1",
    ]


def test_the_rest_of_a_text_with_a_line_end_in_it_is_no_segment() -> None:
    assert segments_of("MSH|^~\\&|A\nOBX|1|TX||one\nOBR looks like\nof|three\nOBR|1\n") == [
        "MSH|^~\\&|A",
        "OBX|1|TX||one",
        "OBR|1",
    ]


@pytest.mark.parametrize("nothing", ["", "\r\n", "hello", "\ufeff"])
def test_what_is_no_message_has_no_segments(nothing: str) -> None:
    assert segments_of(nothing) == []
