"""A DICOM file as a pydicom data set, whole or up to its fault (ADR 29).

An intact data set is read by pydicom as it is. Of one with a fault pydicom loses all elements or some, or takes pixels
for attributes; so the elements that the walk found whole are written as a well-formed data set first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from struct import Struct, pack
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from triage.dicom.byte_source import ByteSource, InflatedSource, MemorySource, OpenFileSource
from triage.dicom.element_walk import Walk
from triage.dicom.elements import LONG_VRS, NO_TAG, PIXEL_DATA, SEQUENCES, Element, ElementState, SequenceItem
from triage.dicom.fault import Fault, Kind
from triage.dicom.file_meta import read_file_meta

_LARGE = 4096  # bytes of a value that only the decoding of pixels needs
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_NOT_COPIED = 1 << 20  # bytes from which a value is a view
_FIRST = 0x00040000  # before it are the groups of commands and files
_MOST_IN_FRONT = 16 << 20
"""Inflated bytes that must contain the attributes before the pixels."""
_MOST_BEHIND = 1 << 20
"""Inflated bytes that may follow those of the image."""
_LARGEST_IMAGE = 600_000_000
"""Bytes of the largest image that is decoded: 100 megapixels of three samples of two bytes."""
_IMAGE_SIZE = (0x00280002, 0x00280010, 0x00280011, 0x00280100)  # samples, rows, columns, bits allocated


@dataclass(frozen=True, eq=False)
class Survey:
    """Result of a walk over a DICOM file.

    Attributes:
        head: Bytes before the data set: preamble and File Meta Information.
        source: Bytes of the data set, inflated if it is deflated.
        start: Position of the data set in ``source``.
        transfer_syntax_uid: As File Meta Information states it.
        implicit: The data set is in implicit VR, whatever File Meta Information states.
        big_endian: It is big-endian.
        faults: Faults of its encoding.
        orderly: Its tags ascend, so that the attributes of an image stand before its pixels.
        foreign: It has elements of commands or files (PS3.7, PS3.10), which pydicom would obey.
        walked: Its elements, if it has faults.
    """

    head: bytes
    source: ByteSource
    start: int
    transfer_syntax_uid: str
    implicit: bool
    big_endian: bool
    faults: tuple[Fault, ...] = ()
    orderly: bool = True
    foreign: bool = False
    walked: tuple[Element, ...] | None = None

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """Elements up to the fault that ends the walk."""
        return tuple(self.walk().elements()) if self.walked is None else self.walked

    def walk(self) -> Walk:
        """Return a walk over the data set, from its beginning."""
        return Walk(self.source, self.start, implicit=self.implicit, big_endian=self.big_endian)

    def without_unreadable(self) -> Survey:
        """Return the survey without elements that pydicom cannot read even alone, as a character set with a zero."""
        kept = tuple(each for each in self.elements if self._reads(each))
        lost = tuple(Fault(Kind.UNREADABLE, each.tag) for each in self.elements if each not in kept)
        return replace(self, walked=kept, faults=self.faults + lost)

    @property
    def is_intact(self) -> bool:
        """True if pydicom reads the file correctly by itself."""
        deflated = self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian
        return not (self.faults or deflated or self.foreign)

    def data_set(self, longest: int | None = None) -> FileDataset:
        """Return the elements that are whole. With ``longest``, without pixels and values of more bytes than that."""
        if self.faults or self.foreign or longest is not None:
            dataset = self._put_together(self.elements, longest)
        else:
            dataset = self._behind_a_head(self.source.read(self.start, self.source.size()))
        dataset.file_meta = _read(self.head).file_meta
        return dataset

    def _put_together(self, elements: Iterable[Element], longest: int | None = None) -> FileDataset:
        return self._behind_a_head(_Writer(self.source, self.big_endian, longest).elements(elements, self.implicit))

    def _behind_a_head(self, content: bytes) -> FileDataset:
        plain = ExplicitVRBigEndian if self.big_endian else ExplicitVRLittleEndian
        return _read(_head(ImplicitVRLittleEndian if self.implicit else plain) + content)

    def _reads(self, element: Element) -> bool:
        if element.tag == PIXEL_DATA:
            return True
        try:
            self._put_together([element])
        except Exception:  # pydicom raises many kinds
            return False
        return True


def survey_file(file: ByteSource) -> Survey | None:
    """Walk over a DICOM file, or a data set without File Meta Information; None if neither begins there."""
    meta = read_file_meta(file)
    at, syntax = meta.end, meta.transfer_syntax_uid
    first = file.read(at, 8)
    if len(first) < 8:
        return None
    big_endian = syntax == ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    if not syntax:  # as pydicom guesses
        implicit = not (first[4:6].isalpha() and first[4:6].isupper())
        big_endian = not implicit and first[0] == 0 and first[1] >= 4
    source, start = file, at
    if syntax == DeflatedExplicitVRLittleEndian:
        source, start = InflatedSource(file, at, _most_inflated(file, at)), 0
    survey = Survey(file.read(0, at), source, start, syntax, implicit, big_endian)
    walk = survey.walk()
    foreign = int.from_bytes(first[:2], "big" if big_endian else "little") < _FIRST >> 16
    passes = walk.passes() and not (big_endian and walk.implicit)
    if passes and not foreign and not (isinstance(source, InflatedSource) and not source.whole):
        return replace(survey, implicit=walk.implicit)
    return _with_faults(survey)


def _most_inflated(file: ByteSource, at: int) -> int:
    """Return how many bytes of a deflated data set are inflated: twice the size of the image that it states.

    Deflate makes a thousand bytes of one, so that a small file can be any amount of work. Twice, so that a second image
    in the object is found.
    """
    front = InflatedSource(file, at, _MOST_IN_FRONT)
    sizes: dict[int, int] = {}
    behind = 0
    for element in Walk(front, 0, implicit=False).elements():
        if element.tag == PIXEL_DATA:
            break
        behind = element.end
        if element.tag in _IMAGE_SIZE:
            sizes[element.tag] = int.from_bytes(front.read(element.value_at, 2), "little")
    samples, rows, columns, bits = (sizes.get(tag, 0) for tag in _IMAGE_SIZE)
    needed = rows * columns * max(samples, 1) * (-(-bits // 8))
    return behind + _MOST_BEHIND + (2 * needed if needed <= _LARGEST_IMAGE else 0)


def _with_faults(survey: Survey) -> Survey:
    walk = survey.walk()
    elements, implicit = tuple(walk.elements()), walk.implicit
    faults = [*walk.faults, *_end_of_inflated(survey, elements, walk.faults)]
    if survey.big_endian and implicit:  # no transfer syntax is both (PS3.5 A): the elements read have no meaning
        faults.append(Fault(Kind.UNREADABLE, elements[0].tag if elements else NO_TAG))
        elements, implicit = (), False
    return replace(
        survey,
        implicit=implicit,
        faults=tuple(faults),
        orderly=walk.orderly,
        foreign=any(each.tag < _FIRST for each in elements),
        walked=elements,
    )


def _end_of_inflated(survey: Survey, elements: Sequence[Element], faults: Iterable[Fault]) -> list[Fault]:
    """Return the fault of a deflated data set whose stream ends too early, if no other fault ends it."""
    inflated = isinstance(survey.source, InflatedSource) and not survey.source.whole
    if not inflated or any(each.ends for each in faults):
        return []
    return [Fault(Kind.CUT, elements[-1].tag if elements else NO_TAG, after=True, ends=True)]


def read_data_set(data: bytes) -> tuple[FileDataset, Survey | None]:
    """Read a DICOM file: its data set, or the elements of it that are whole, and the survey.

    Pixels that are not compressed may be a view of ``data``: copying them takes as long as reading the file.

    Raises what pydicom raises for bytes that are no DICOM file.
    """
    survey = survey_file(MemorySource(data))
    if survey is None:
        return _without_elements(_read(data)), None
    read = _read_without_copy if survey.transfer_syntax_uid in _UNCOMPRESSED else _read
    try:
        return (read(data) if survey.is_intact else survey.data_set()), survey
    except Exception:  # pydicom raises many kinds, and then has read nothing
        survey = survey.without_unreadable()
        return survey.data_set(), survey


def read_header(file: BinaryIO) -> FileDataset:
    """Read a DICOM file without its pixels; if it is damaged, up to the damage and without long values.

    Raises what pydicom raises for bytes that are no DICOM file.
    """
    survey = survey_file(OpenFileSource(file))
    if survey is None:
        return _without_elements(_read_header(file))
    try:
        return _read_header(file) if survey.is_intact and survey.orderly else survey.data_set(_LARGE)
    except Exception:  # of many kinds, too
        return survey.without_unreadable().data_set(_LARGE)


def _without_elements(read: FileDataset) -> FileDataset:
    """Return what pydicom read where no data set begins. Raises ValueError if it is something: it was not surveyed."""
    if len(read):
        raise ValueError("the File Meta Information ends behind the end of the file")
    return read


def _read_header(file: BinaryIO) -> FileDataset:
    file.seek(0)
    return dcmread(file, stop_before_pixels=True, defer_size=_LARGE)


def _read(data: bytes) -> FileDataset:
    return dcmread(BytesIO(data), force=True)  # a bare data set has no preamble


def _read_without_copy(data: bytes) -> FileDataset:
    return dcmread(_Views(data), force=True)


class _Views(BytesIO):
    """Bytes as a file, of which large parts are read as views."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._view = memoryview(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes; fewer at the end."""
        if size is None or size < _NOT_COPIED:
            return super().read(size)
        at = self.tell()
        self.seek(at + size)
        return self._view[at : at + size]  # type: ignore[return-value]  # what pydicom decodes may be one


def _head(transfer_syntax_uid: str) -> bytes:
    uid = transfer_syntax_uid.encode("ascii")
    uid += b"\0" * (len(uid) % 2)
    return bytes(128) + b"DICM" + pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid


class _Writer:
    """Writer of a data set; elements that are whole keep their bytes."""

    def __init__(self, source: ByteSource, big_endian: bool, longest: int | None) -> None:
        order = ">" if big_endian else "<"
        self._source, self._longest = source, longest
        self._short = Struct(f"{order}HH2sH").pack
        self._long = Struct(f"{order}HH2s2xL").pack
        self._implicit = Struct(f"{order}HHL").pack

    def elements(self, elements: Iterable[Element], implicit: bool) -> bytes:
        return b"".join(self._element(each, implicit) for each in elements if self._is_wanted(each))

    def _is_wanted(self, element: Element) -> bool:
        if element.state is ElementState.DROPPED or element.tag < _FIRST:
            return False
        if self._longest is None or element.tag in SEQUENCES or element.vr == b"SQ":
            return True
        return element.tag != PIXEL_DATA and element.end - element.value_at <= self._longest

    def _element(self, element: Element, implicit: bool) -> bytes:
        if element.state is ElementState.WHOLE:
            return self._source.read(element.at, element.end - element.at)
        if element.items is not None:
            return self._sequence(element.tag, b"".join(map(self._item, element.items)), implicit)
        if element.state is ElementState.UNCLOSED:
            content = self._source.read(element.at, element.end - element.at)
            return content.removesuffix(self._implicit(0xFFFE, 0xE00D, 0)) + self._implicit(0xFFFE, 0xE0DD, 0)
        value = self._source.read(element.value_at, element.end - element.value_at)
        tag = element.tag >> 16, element.tag & 0xFFFF
        if element.vr in LONG_VRS:
            return self._long(*tag, element.vr, len(value)) + value
        if len(value) > 0xFFFF:
            return self._long(*tag, b"UN", len(value)) + value
        return self._short(*tag, element.vr, len(value)) + value

    def _sequence(self, tag: int, items: bytes, implicit: bool) -> bytes:
        if implicit:
            return self._implicit(tag >> 16, tag & 0xFFFF, len(items)) + items
        return self._long(tag >> 16, tag & 0xFFFF, b"SQ", len(items)) + items

    def _item(self, item: SequenceItem) -> bytes:
        content = self.elements(item.elements, item.implicit)
        return self._implicit(0xFFFE, 0xE000, len(content)) + content
