"""Bytes that are made to be slow: a walk over them takes a bounded number of steps, counted as reads."""

from __future__ import annotations

import struct

import pytest

from triage.dicom.byte_source import MemorySource
from triage.dicom.data_set import survey_file
from triage.dicom.element_walk import Walk
from triage.dicom.fault import Kind

_MANY = 2_000_000
_MOST_READS = 40_000
_ITEM, _PIXEL_DATA, _SEQUENCE = 0xFFFEE000, 0x7FE00010, 0x00400275


class CountingSource(MemorySource):
    """Bytes in memory whose reads are counted."""

    reads = 0

    def read(self, at: int, count: int) -> bytes:
        self.reads += 1
        return super().read(at, count)


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


FIRST = {True: implicit(0x00080016, b"1.2\0"), False: explicit(0x00080016, b"UI", b"1.2\0")}
ZEROS = bytes(8 * _MANY)


def walked(content: bytes, is_implicit: bool) -> tuple[list[int], list[Kind], bool]:
    """Return the tags, the kinds of faults, and whether the last ends the walk. Few reads, or the test fails."""
    source = CountingSource(content)
    walk = Walk(source, 0, implicit=is_implicit)
    tags = [each.tag for each in walk.elements()]
    assert source.reads < _MOST_READS
    other = CountingSource(content)
    assert not Walk(other, 0, implicit=is_implicit).passes()
    assert other.reads < _MOST_READS
    return tags, [each.kind for each in walk.faults], walk.faults[-1].ends


@pytest.mark.parametrize("is_implicit", [True, False])
def test_zeros_alone_are_no_data_set(is_implicit: bool):
    assert walked(ZEROS, is_implicit) == ([], [Kind.NO_ELEMENT], True)


@pytest.mark.parametrize("is_implicit", [True, False])
def test_zeros_behind_the_last_element_are_padding_in_both_encodings(is_implicit: bool):
    assert walked(FIRST[is_implicit] + ZEROS, is_implicit) == ([0x00080016], [Kind.PADDING], False)


def test_zeros_with_something_behind_them_are_looked_through_once_and_end_the_walk():
    tags, faults, ends = walked(FIRST[True] + ZEROS + b"\1", True)
    assert (tags, faults, ends) == ([0x00080016, 0], [Kind.TOO_MANY], True)
    tags, faults, ends = walked(FIRST[False] + ZEROS + b"\1", False)
    assert (tags, faults, ends) == ([0x00080016], [Kind.NO_ELEMENT], True)


@pytest.mark.parametrize("is_implicit", [True, False])
def test_one_element_again_and_again_ends_the_walk(is_implicit: bool):
    assert walked(FIRST[is_implicit] * _MANY, is_implicit) == ([0x00080016], [Kind.TOO_MANY], True)


@pytest.mark.parametrize("tag", [_SEQUENCE, _PIXEL_DATA])
def test_empty_items_and_fragments_without_end_end_the_walk(tag: int):
    content = FIRST[True] + implicit(tag, length=0xFFFFFFFF) + implicit(_ITEM) * _MANY
    assert walked(content, True) == ([0x00080016], [Kind.TOO_MANY], True)


def test_elements_without_a_vr_are_looked_behind_a_bounded_number_of_times():
    lost = b"".join(explicit(each << 16 | 0x10, b"??", b"") for each in range(0x0009, 0x7FE0, 2))
    source = CountingSource(FIRST[False] + lost)
    list(Walk(source, 0, implicit=False).elements())
    assert source.reads < _MOST_READS


def test_some_repeated_elements_and_empty_items_are_no_reason_to_end():
    items = implicit(_ITEM) * 9_000 + implicit(0xFFFEE0DD)
    content = FIRST[True] * 900 + implicit(_SEQUENCE, length=0xFFFFFFFF) + items + implicit(0x7FE10010, b"ab")
    walk = Walk(MemorySource(content), 0, implicit=True)
    assert [each.tag for each in walk.elements()] == [0x00080016, _SEQUENCE, 0x7FE10010]
    assert walk.faults == ()


def test_a_file_of_zeros_is_surveyed_in_few_steps():
    source = CountingSource(ZEROS)
    survey = survey_file(source)
    assert survey is not None and survey.elements == ()
    assert [each.kind for each in survey.faults] == [Kind.NO_ELEMENT]
    assert source.reads < _MOST_READS
