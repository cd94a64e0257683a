"""A STAT radiograph whose data set is damaged in the ways that senders have damaged theirs, built from a phantom."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import pack

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.support.dicom_peer import encoded
from tests.support.service import a_chest, read_bytes
from triage.dicom.part10 import Receipt, header

ACCESSION = "ACC-77"
NAME = "PHANTOM^CHEST"
SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)
ITEM_END = b"\xfe\xff\x0d\xe0" + bytes(4)
ITEM = b"\xfe\xff\x00\xe0"
UNDEFINED = b"\xff\xff\xff\xff"
REQUEST = 0x00400275  # Request Attributes Sequence
PIXELS = 0x7FE00010

Pieces = dict[int, bytes]


@dataclass(frozen=True)
class Sent:
    """A data set as a sender sends it. ``detail``: what is said of it; empty where it can be scored."""

    name: str
    data_set: bytes
    transfer_syntax_uid: str
    detail: str

    @property
    def file(self) -> bytes:
        """As the spool has it."""
        return header("1.2.840.10008.5.1.4.1.1.1.1", "1.2.3", self.transfer_syntax_uid, Receipt()) + self.data_set


def an_order(number: int = 0) -> Dataset:
    """A frontal of an adult, of a STAT order; without File Meta Information."""
    dataset = Dataset(read_bytes(a_chest(number, accession=ACCESSION, priority="STAT")))
    dataset.StudyDescription = "CHEST"
    return dataset


def compressed(number: int = 0) -> Dataset:
    """The same as baseline JPEG, in one fragment."""
    dataset = an_order(number)
    pixels = (np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns) >> 4).astype(np.uint8)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(pixels, level=95)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def pieces(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Pieces:
    """The encoding of each element, by its tag."""
    found = {}
    for element in dataset:
        alone = Dataset()
        alone.add(element)
        found[int(element.tag)] = encoded(alone, syntax)
    return found


def whole(syntax: str, number: int = 0) -> bytes:
    """The intact data set."""
    if syntax == JPEGBaseline8Bit:
        return encoded(compressed(number))
    dataset = an_order(number)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    if syntax != DeflatedExplicitVRLittleEndian:
        return encoded(dataset, syntax)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(encoded(dataset)) + packer.flush()


def scored() -> Iterator[Sent]:
    """Odd, and certain all the same: the image and all that describes it is whole."""
    for name, change in _HARMLESS.items():
        yield Sent(name, _explicit(change), ExplicitVRLittleEndian, "")
    for name, change in _HARMLESS_IN_JPEG.items():
        yield Sent(name, _explicit(change, compressed()), JPEGBaseline8Bit, "")


def refused() -> Iterator[Sent]:
    """Damaged in the pixels, before them, or in what describes them."""
    for name, (change, detail) in _HARMFUL.items():
        yield Sent(name, _explicit(change), ExplicitVRLittleEndian, detail)
    for name, (change, detail) in _HARMFUL_IN_JPEG.items():
        yield Sent(name, _explicit(change, compressed()), JPEGBaseline8Bit, detail)
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        data = whole(syntax)
        detail = "PixelData: cut short, 15360 bytes stated, 7000 there"
        yield Sent(f"{UID(syntax).name} cut", data[: len(data) - 15360 + 7000], syntax, detail)
    data = whole(DeflatedExplicitVRLittleEndian)
    yield Sent("deflated cut", data[: len(data) * 2 // 3], DeflatedExplicitVRLittleEndian, "PixelData: cut short")


def _explicit(change: Callable[[Pieces], bytes], dataset: Dataset | None = None) -> bytes:
    return change(pieces(dataset or an_order()))


def _in_order(elements: Pieces) -> bytes:
    return b"".join(elements[tag] for tag in sorted(elements))


def _with(tag: int, content: bytes) -> Callable[[Pieces], bytes]:
    """The element's bytes are others, in its place."""
    return lambda elements: _in_order({**elements, tag: content})


def _moved(tag: int, behind: int) -> Callable[[Pieces], bytes]:
    def change(elements: Pieces) -> bytes:
        moved = elements.pop(tag)
        return b"".join(each + (moved if at == behind else b"") for at, each in sorted(elements.items()))

    return change


def _vr(tag: int, vr: bytes) -> Callable[[Pieces], bytes]:
    """The element's VR is another, all else is as it was."""
    return lambda elements: _in_order({**elements, tag: elements[tag][:4] + vr + elements[tag][6:]})


def _header(tag: int, vr: bytes, length: int) -> bytes:
    return pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, length)


def _sequence(tag: int, content: bytes) -> bytes:
    """A sequence of undefined length; ``content`` is all that follows its header."""
    return pack("<HH", tag >> 16, tag & 0xFFFF) + b"SQ\0\0" + UNDEFINED + content


def _cut(at: Callable[[bytes], int], change: Callable[[Pieces], bytes] = _in_order) -> Callable[[Pieces], bytes]:
    def cut(elements: Pieces) -> bytes:
        data = change(elements)
        return data[: at(data)]

    return cut


def _swallowed(tag: int, swallowed: int, sequence: Callable[[bytes], bytes]) -> Callable[[Pieces], bytes]:
    """An element of the data set stands inside a sequence, behind its one item."""

    def change(elements: Pieces) -> bytes:
        inside = elements.pop(swallowed)
        return _in_order({**elements, tag: sequence(ITEM + pack("<L", 16) + _STEP + inside)})

    return change


_STEP = _header(0x00400007, b"LO", 8) + b"CHEST PA"
_PADDING = _header(0x00280120, b"??", 2) + b"\x34\x12"
_PRIVATE = _header(0x00290010, b"  ", 8) + b"VENDOR 1"

_HARMLESS: dict[str, Callable[[Pieces], bytes]] = {
    "private group first": lambda e: _header(0x70151060, b"LO", 6) + b"VENDOR" + _in_order(e),
    "study last": _moved(0x0020000D, PIXELS),
    "study late": _moved(0x0020000D, 0x00200013),
    "pixels first": lambda e: e.pop(PIXELS) + _in_order(e),
    "stray sequence delimiter": _with(0x00081140, _header(0x00081140, b"SQ", 0) + bytes(4) + SEQUENCE_END),
    "stray item delimiter": _with(0x00081140, _header(0x00081140, b"SQ", 0) + bytes(4) + ITEM_END),
    "spaces for the VR of a private element": _with(0x00290010, _PRIVATE),
    "spaces for the VRs of private elements": _with(
        0x00290010, _PRIVATE + b"".join(_header(0x00291000 + n, b"  ", 2 * n) + b"ab" * n for n in range(9))
    ),
    "an unknown VR of 32 bits": _with(0x00291001, _header(0x00291001, b"ZZ", 0) + pack("<L", 6) + b"VENDOR"),
    "an order's text in implicit VR": _with(0x00321060, pack("<HHL", 0x32, 0x1060, 6) + b"CHEST "),
    "a sequence as text": _with(REQUEST, _header(REQUEST, b"LO", 8) + b"REQUEST1"),
    "an item closed as a sequence": _with(REQUEST, _sequence(REQUEST, ITEM + UNDEFINED + _STEP + SEQUENCE_END)),
    "a sequence closed as an item": _with(REQUEST, _sequence(REQUEST, ITEM + pack("<L", 16) + _STEP + ITEM_END)),
    "a sequence that is not closed": _with(REQUEST, _sequence(REQUEST, ITEM + pack("<L", 16) + _STEP)),
    "an item that is not closed": _with(
        REQUEST, _sequence(REQUEST, ITEM + UNDEFINED + _STEP + ITEM + UNDEFINED + _STEP + ITEM_END + SEQUENCE_END)
    ),
    "a broken item of a stated length": _with(
        REQUEST, _header(REQUEST, b"SQ", 0) + pack("<L", 24) + ITEM + pack("<L", 16) + _STEP[:8] + b"\xff" * 8
    ),
    "zeros behind it": lambda e: _in_order(e) + bytes(300),
    "a digital signature that is nonsense": lambda e: _in_order(e) + b"\xfc\xff\xfc\xff\x01\x02\x03\x04garbage",
    "the same element twice": lambda e: _in_order({**e, 0x00280010: e[0x00280010] * 2}),
}
_HARMLESS_IN_JPEG: dict[str, Callable[[Pieces], bytes]] = {
    "an order closed wrongly, JPEG": _with(REQUEST, _sequence(REQUEST, ITEM + UNDEFINED + _STEP + SEQUENCE_END)),
}
_HARMFUL: dict[str, tuple[Callable[[Pieces], bytes], str]] = {
    "cut in the header of the pixels": (_cut(lambda d: len(d) - 15360 - 4), "PixelData: cut short"),
    "cut in the pixels": (_cut(lambda d: len(d) - 1), "PixelData: cut short, 15360 bytes stated, 15359 there"),
    "cut in an attribute": (
        _cut(lambda d: d.index(b"IDENTITY") + 3),
        "PresentationLUTShape: cut short, 8 bytes stated, 3 there",
    ),
    "cut in a header": (
        _cut(lambda d: d.index(b"IDENTITY") - 5),
        "after ViewCodeSequence: cut short, 8 bytes stated, 3 there",
    ),
    "cut in what is behind the pixels": (
        _cut(
            lambda d: len(d) - 20, lambda e: _in_order(e) + _header(0xFFFCFFFC, b"OB", 0) + pack("<L", 64) + bytes(64)
        ),
        "DataSetTrailingPadding: cut short, 64 bytes stated, 44 there",
    ),
    "cut in a sequence": (
        _cut(lambda d: d.index(_STEP) + 10, _with(0x00540220, _sequence(0x00540220, ITEM + UNDEFINED + _STEP))),
        "ViewCodeSequence: cut short",
    ),
    **{
        f"{vr!r} for the VR of the padding": (
            _with(0x00280120, _PADDING.replace(b"??", vr)),
            "PixelPaddingValue: its VR is none",
        )
        for vr in (b"  ", b"RE", b"--", b"??", b"\0\0", b"xs", b"ox")
    },
    "question marks for the VR of a description": (_vr(0x00081030, b"??"), "StudyDescription: its VR is none"),
    "spaces for the VR of a description": (_vr(0x00081030, b"  "), "StudyDescription: its VR is none"),
    "a view closed wrongly": (
        _with(0x00540220, _sequence(0x00540220, ITEM + UNDEFINED + SEQUENCE_END)),
        "ViewCodeSequence: closed by the wrong delimiter",
    ),
    "a view as text": (
        _with(0x00540220, _header(0x00540220, b"LO", 8) + b"LATERAL "),
        "ViewCodeSequence: its VR is another",
    ),
    "rows twice": (
        lambda e: _in_order({**e, 0x00280010: e[0x00280010] + _header(0x00280010, b"US", 2) + b"\x0a\0"}),
        "Rows: there twice",
    ),
    "a sequence whose length hides what follows": (
        _swallowed(0x00400275, 0x00540220, lambda inner: _header(REQUEST, b"SQ", 0) + pack("<L", len(inner)) + inner),
        "RequestAttributesSequence: what follows is no element",
    ),
    "an item without end that swallows what follows": (
        _swallowed(
            0x00400275, 0x00540220, lambda inner: _sequence(REQUEST, ITEM + UNDEFINED + inner[8:] + SEQUENCE_END)
        ),
        "RequestAttributesSequence: closed by the wrong delimiter",
    ),
    "a length that leads nowhere": (
        _with(0x0040A043, _header(0x0040A043, b"LO", 5) + b"NOTHING HERE"),
        "after ConceptNameCodeSequence: what follows is no element",
    ),
}
_HARMFUL_IN_JPEG: dict[str, tuple[Callable[[Pieces], bytes], str]] = {
    "not closed": (_cut(lambda d: len(d) - 8), "PixelData: not closed"),
    "closed as an item": (
        lambda e: _in_order({**e, PIXELS: e[PIXELS][:-8] + ITEM_END}),
        "PixelData: closed by the wrong delimiter",
    ),
    "cut in a fragment": (_cut(lambda d: len(d) * 2 // 3), "PixelData: cut short"),
    "cut between fragments": (_cut(lambda d: d.index(ITEM, d.index(b"\xe0\x7f\x10\0")) + 12), "PixelData: not closed"),
}
