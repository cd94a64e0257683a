"""File Meta Information that other programs write oddly, and that a disk altered: read as pydicom reads it.

The heads are drawn from a seed, so that every run tries the same ones.
"""

from __future__ import annotations

import json
import random
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from struct import pack

import pytest
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support.dicom_peer import DX, a_data_set, encoded
from triage.dicom.byte_source import MemorySource, OpenFileSource
from triage.dicom.data_set import read_data_set, read_header
from triage.dicom.file_meta import read_file_meta
from triage.dicom.part10 import Receipt, header, receipt_in
from triage.radiograph.decode import open_dicom
from triage.radiograph.types import Rejected

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
TEXTS = {0x0002: DX, 0x0003: "1.2.3.4", 0x0010: "", 0x0012: "1.2.3.9", 0x0016: "CT7", 0x0100: "1.2.3"}
KINDS = ("as it is", "odd length", "no value", "padded", "no VR", "another VR", "left out", "unknown element")


def element(number: int, vr: bytes, value: bytes, *, implicit: bool) -> bytes:
    if implicit:
        return pack("<HHL", 2, number, len(value)) + value
    if vr in (b"OB", b"UN"):
        return pack("<HH", 2, number) + vr + pack("<xxL", len(value)) + value
    if vr == b"??":  # pydicom takes what is no VR for a length of 32 bits
        return pack("<HHL", 2, number, len(value)) + value
    return pack("<HH", 2, number) + vr + pack("<H", len(value)) + value


def odd(draw: random.Random, number: int, text: str, *, implicit: bool) -> bytes:
    value = text.encode() + b"\0" * (len(text) % 2)
    vr = b"AE" if number == 0x0016 else b"UI"
    match draw.choice(KINDS):
        case "odd length":
            value = text.encode()
        case "no value":
            value = b""
        case "padded":
            value += b"\0 "
        case "no VR" if number >= 0x0012:  # the first one tells pydicom the VR of all
            vr = b"??"
        case "another VR":
            vr = draw.choice([b"LO", b"SH"])
        case "left out":
            return b""
        case "unknown element" if number >= 0x0012:
            behind = element(number + 1, draw.choice([b"OB", b"UN", b"LO"]), bytes(6), implicit=implicit)
            return element(number, vr, value, implicit=implicit) + behind
    return element(number, vr, value, implicit=implicit)


def odd_files() -> Iterator[bytes]:
    """Files whose heads are in order, and odd in other ways: the group's length, VRs, lengths, no preamble."""
    draw = random.Random(102)
    for _ in range(400):
        syntax, implicit = draw.choice(PLAIN), draw.random() < 0.2
        texts = {**TEXTS, 0x0010: str(syntax)}
        elements = b"".join(odd(draw, number, text, implicit=implicit) for number, text in texts.items())
        length = draw.choice([len(elements), 0, len(elements) + 10, 0xFFFFFFFF])
        group = b"" if draw.random() < 0.2 else element(0, b"UL", pack("<L", length), implicit=implicit)
        preamble = b"" if draw.random() < 0.2 else bytes(128) + b"DICM"
        yield preamble + group + elements + encoded(a_data_set(), syntax)


def read_by_pydicom(file: bytes) -> tuple[dict[int, str], int]:
    """The texts of group 0002 and the position behind it."""
    source = BytesIO(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_partial(source, stop_when=lambda *_: True, force=True)
        meta, end = found.file_meta, source.tell()
        texts = {number: str(meta[2, number].value or "") if (2, number) in meta else "" for number in TEXTS}
    return {number: text.strip("\0 ") for number, text in texts.items()}, end


def test_odd_heads_are_read_as_pydicom_reads_them() -> None:
    for file in odd_files():
        texts, end = read_by_pydicom(file)
        for source in (MemorySource(file), OpenFileSource(BytesIO(file))):
            found = read_file_meta(source)
            assert (found.end, {number: found.text(number) for number in TEXTS}) == (end, texts), file[:600]


def test_a_group_in_implicit_vr_is_read() -> None:
    syntax = element(0x0010, b"", b"1.2.840.10008.1.2.1\0", implicit=True)
    file = bytes(128) + b"DICM" + syntax + encoded(a_data_set())
    opened = open_dicom(file)
    assert not isinstance(opened, Rejected) and opened[1].sop_class_uid == DX
    assert opened[1].transfer_syntax_uid == ExplicitVRLittleEndian


@pytest.mark.parametrize("length", [0xFFFFFFFF, 1 << 20])
def test_nothing_is_read_past_a_head_that_ends_behind_the_file(length: int) -> None:
    """pydicom would find attributes and pixels there, and nothing would have looked at their faults."""
    undefined = pack("<HH", 2, 0x0102) + b"SQ" + pack("<xxL", length)
    file = bytes(128) + b"DICM" + element(0x0010, b"UI", b"1.2.840.10008.1.2\0", implicit=False) + undefined
    file += pack("<HHL", 0xFFFE, 0xE0DD, 0) + encoded(a_data_set(), ImplicitVRLittleEndian)
    assert isinstance(open_dicom(file), Rejected)
    for read in (lambda: read_data_set(file)[0], lambda: read_header(BytesIO(file))):
        try:
            assert "SOPInstanceUID" not in read()
        except ValueError as error:
            assert "ends behind the end" in str(error)


@pytest.mark.parametrize("syntax", [*PLAIN, DeflatedExplicitVRLittleEndian])
def test_no_altered_bit_of_our_head_and_no_cut_gives_an_object_other_attributes(syntax: str) -> None:
    plain = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
    data_set = encoded(a_data_set(PatientID="P-1", Rows=4, Columns=4), plain)
    if syntax != plain:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data_set = packer.compress(data_set) + packer.flush()
    head = header(DX, "1.2.3.4", syntax, Receipt(1764526628.5, "CT7", "CXR_TRIAGE", "10.1.2.3"))
    expected = attributes(head + data_set)
    assert expected is not None and expected[0] == "P-1"
    altered = (_flipped(head, bit) for bit in range(8 * 128, 8 * len(head), 3))
    assert {attributes(each + data_set) for each in altered} <= {None, expected}
    assert {attributes((head + data_set)[:size]) for size in range(len(head))} <= {None}


def attributes(file: bytes) -> tuple[str, ...] | None:
    """What a file says, where nothing of it is in doubt."""
    opened = open_dicom(file)
    if isinstance(opened, Rejected) or opened[1].damage or not opened[1].whole:
        return None
    return tuple(str(opened[0].get(keyword, "")) for keyword in ("PatientID", "SOPInstanceUID", "Rows", "Columns"))


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("value", ["1764526628", -1.0, 0, 1e300, float("nan"), [1.0], None])
def test_what_is_no_time_is_none(value: object) -> None:
    assert receipt_with(json.dumps({"received_at": value})).received_at is None


def test_a_receipt_of_many_brackets_is_an_empty_one() -> None:
    assert receipt_with("[" * 60_000) == Receipt()


def receipt_with(text: str) -> Receipt:
    return receipt_in(bytes(128) + b"DICM" + element(0x0102, b"OB", text.encode(), implicit=False), "a file")
