"""Odd data sets behind our head: listener, queue and worker read the same object, and pydicom none that is other.

They are drawn from a seed: elements that are repeated, out of order, of odd, zero or wrong length, private, of an
undefined length, sequences, a group 0002 and a command of the sender's own, and a cut or bytes behind it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from struct import pack

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support.dicom_peer import DX, UNENCAPSULATED
from triage.dicom.byte_source import MemorySource
from triage.dicom.data_set import read_header, survey_file
from triage.dicom.file_meta import read_file_meta
from triage.dicom.header_scan import read_identity, read_work
from triage.dicom.part10 import Receipt, header, receipt_in
from triage.radiograph.decode import open_dicom
from triage.radiograph.types import Rejected

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
NUMBERS = ("Rows", "Columns", "SamplesPerPixel")
FOREIGN = ("a group 0002", "more of our group", "a command")
KINDS = (
    *("again", "again, other", "out of order", "odd length", "no value", "wrong length", "undefined length"),
    *("a sequence", "private", "left out", *FOREIGN),
)
PLAIN: tuple[tuple[int, bytes, bytes | int], ...] = (
    (0x00080016, b"UI", DX.encode() + b"\0" * (len(DX) % 2)),
    (0x00080018, b"UI", b"1.2.3.4\0"),
    (0x00100020, b"LO", b"P1"),
    (0x0020000D, b"UI", b"1.2.3\0"),
    (0x00280002, b"US", 1),
    (0x00280010, b"US", 4),
    (0x00280011, b"US", 4),
    (0x00401003, b"SH", b"STAT"),
    (0x7FE00010, b"OB", bytes(range(16))),
)


@dataclass
class Piece:
    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    def encoded(self, syntax: str) -> bytes:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        tag, length = (self.tag >> 16, self.tag & 0xFFFF), len(self.value) if self.length is None else self.length
        if syntax == ImplicitVRLittleEndian:
            return pack("<HHL", *tag, length) + self.value
        if self.vr in (b"OB", b"SQ", b"UN"):
            return pack(f"{order}HH", *tag) + self.vr + pack(f"{order}xxL", length) + self.value
        return pack(f"{order}HH", *tag) + self.vr + pack(f"{order}H", length & 0xFFFF) + self.value


def items(draw: random.Random, syntax: str) -> tuple[bytes, int | None]:
    """The items of a sequence, which have UIDs and a size of their own, and its length if that is undefined."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    inner = Piece(0x00080018, b"UI", b"9.9.9\0").encoded(syntax)
    inner += Piece(0x00280010, b"US", pack(f"{order}H", 9000)).encoded(syntax)
    end_of_item, end = pack(f"{order}HHL", 0xFFFE, 0xE00D, 0), pack(f"{order}HHL", 0xFFFE, 0xE0DD, 0)
    stated = pack(f"{order}HHL", 0xFFFE, 0xE000, len(inner)) + inner
    undefined = pack(f"{order}HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + end_of_item
    one = draw.choice([stated, undefined])
    return draw.choice([(one, None), (one + end, 0xFFFFFFFF)])


def make_odd(draw: random.Random, pieces: list[Piece], kind: str, syntax: str) -> None:
    at, other = draw.randrange(len(pieces)), draw.randrange(len(pieces))
    piece = pieces[at]
    match kind:
        case "again":
            pieces.insert(at, piece)
        case "again, other":
            pieces.insert(other, Piece(piece.tag, piece.vr, piece.value[::-1]))
        case "out of order":
            pieces[at], pieces[other] = pieces[other], piece
        case "odd length":
            pieces[at] = Piece(piece.tag, piece.vr, piece.value[:-1])
        case "no value":
            pieces[at] = Piece(piece.tag, piece.vr, b"")
        case "wrong length":
            length = max(len(piece.value) + draw.choice([-2, -1, 1, 2, 50]), 0)
            pieces[at] = Piece(piece.tag, piece.vr, piece.value, length)
        case "undefined length":
            pieces[at] = Piece(piece.tag, piece.vr, piece.value, 0xFFFFFFFF)
        case "a sequence":
            tag = draw.choice([0x00081140, 0x00400275, 0x00091010])
            pieces.insert(at, Piece(tag, draw.choice([b"SQ", b"UN"]), *items(draw, syntax)))
        case "private":
            tag = draw.choice([0x00090010, 0x00291001, 0x7FE10010])
            pieces.insert(at, Piece(tag, draw.choice([b"LO", b"OB", b"UN"]), b"ABCD"))
        case "left out":
            del pieces[at]
        case "a group 0002":
            pieces.insert(0, Piece(0x00020010, b"UI", draw.choice(UNENCAPSULATED).encode()))
        case "more of our group":
            length = draw.choice([None, 100, 0xFFFFFFFF])
            pieces.insert(0, Piece(draw.choice([0x00020103, 0x0002FFFF]), b"OB", bytes(4), length))
        case "a command":
            pieces.insert(0, Piece(0x00000100, b"US", b"\0\1"))


def odd_objects() -> Iterator[tuple[str, bytes, list[str]]]:
    """Transfer syntaxes, data sets as a sender may send them, and what is odd about each."""
    draw = random.Random(1020)
    for _ in range(1500):
        syntax = draw.choice(UNENCAPSULATED)
        plain = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
        order: str = ">" if plain == ExplicitVRBigEndian else "<"
        pieces = [
            Piece(tag, vr, value if isinstance(value, bytes) else pack(f"{order}H", value)) for tag, vr, value in PLAIN
        ]
        kinds = [draw.choice(KINDS) for _ in range(draw.randrange(4))]
        for kind in kinds:
            make_odd(draw, pieces, kind, plain)
        content = b"".join(each.encoded(plain) for each in pieces)
        content += draw.choice([b"", b"", b"", b"\0", bytes(20), b"junk"])
        content = content[: draw.choice([None, None, None, draw.randrange(len(content))])]
        if syntax != plain:
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            content = packer.compress(content) + packer.flush()
        yield syntax, content, kinds


def value(dataset: Dataset, keyword: str) -> str:
    """The text of a value without padding; empty for one that pydicom cannot read."""
    try:
        return str(dataset.get(keyword, "") or "").strip("\0 ")
    except BytesLengthException:
        return ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is odd
def test_listener_queue_and_worker_read_one_object() -> None:
    whole = 0
    for syntax, content, kinds in odd_objects():
        file = header(DX, "1.2.3.4", syntax, Receipt(5.0, "CT7")) + content
        meta = read_file_meta(MemorySource(file))
        assert (meta.transfer_syntax_uid, receipt_in(file, "a file").received_at) == (syntax, 5.0), kinds
        opened = open_dicom(file)
        if isinstance(opened, Rejected):
            continue
        dataset, attributes = opened
        scanned = read_identity(BytesIO(content), syntax)
        found = (scanned.sop_class_uid, scanned.sop_instance_uid, scanned.study_instance_uid)
        assert found == tuple(value(dataset, keyword) for keyword in UIDS), kinds
        if attributes.whole and not attributes.damage:
            whole += 1
            check_whole(file, dataset, kinds)
    assert whole > 500


def check_whole(file: bytes, dataset: Dataset, kinds: list[str]) -> None:
    short = read_header(BytesIO(file))
    assert [value(short, keyword) for keyword in (*UIDS, *NUMBERS)] == [
        value(dataset, keyword) for keyword in (*UIDS, *NUMBERS)
    ], kinds
    sizes = [value(dataset, keyword) for keyword in NUMBERS]
    rows, columns, samples = (int(each) if each.isdigit() else 0 for each in sizes)
    assert read_work(MemorySource(file), read_file_meta(MemorySource(file))).pixels >= rows * columns * samples, kinds
    survey = survey_file(MemorySource(file))
    assert survey is not None
    if not survey.faults and not survey.foreign:  # else pydicom obeys the sender, or raises
        theirs = dcmread(BytesIO(file), force=True)
        assert [value(theirs, keyword) for keyword in (*UIDS, *NUMBERS)] == [
            value(dataset, keyword) for keyword in (*UIDS, *NUMBERS)
        ], kinds
