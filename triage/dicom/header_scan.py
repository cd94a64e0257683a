"""Which object a data set is: the three UIDs and the dates in its head, read without reading its pixels.

A walk over the elements in constant memory. pydicom would decode as it reads (and warn, which is not thread-safe),
would inflate a deflated data set whole, and would hold whatever a sequence holds.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812
from struct import unpack
from typing import BinaryIO, Protocol

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

_WANTED = {0x00080016: "sop_class_uid", 0x00080018: "sop_instance_uid", 0x0020000D: "study_instance_uid"}
_DATES = (0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002A)
"""Those of ``attributes.ACQUISITION_DATES``: study, series, acquisition and content date, acquisition date and time."""
_LAST = 0x0020000D
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_DEEPEST = 32
_MOST_INFLATED = 64 * 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """As the data set has them, padding removed; empty where it has none. May be anything: check before use."""

    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    dates: tuple[str, ...] = ()


def read_identity(data_set: BinaryIO, transfer_syntax_uid: str) -> Identity:
    """The identity of the data set at the file's position.

    Raises ValueError for what cannot be read as a data set, OSError if the file cannot be read.
    """
    deflated = transfer_syntax_uid == DeflatedExplicitVRLittleEndian
    walk = _Walk(
        _Inflating(data_set) if deflated else _Plain(data_set),
        byte_order=">" if transfer_syntax_uid == ExplicitVRBigEndian else "<",
    )
    found: dict[str, str] = {}
    dates: list[str] = []
    try:
        walk.begin(transfer_syntax_uid == ImplicitVRLittleEndian)
        while (element := walk.next_element()) and element[0] <= _LAST:
            tag, length = element
            if tag in _WANTED and length <= 1024:
                found[_WANTED[tag]] = walk.take(length).decode("latin-1").strip("\0 ")
            elif tag in _DATES and length <= 64:
                dates.append(walk.take(length).decode("latin-1").strip("\0 "))
            else:
                walk.skip_value(length)
    except (StructError, zlib.error) as error:
        raise ValueError(f"the data set cannot be read: {error}") from error
    return Identity(**found, dates=tuple(dates))


class _Source(Protocol):
    def read(self, count: int) -> bytes: ...
    def skip(self, count: int) -> None: ...


class _Plain:
    """A file."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self._file = file

    def skip(self, count: int) -> None:
        self._file.seek(count, 1)


class _Inflating:
    """A raw deflate stream (PS3.5 A.5), inflated piece by piece and up to a bound."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ready = b""
        self._inflated = 0

    def read(self, count: int) -> bytes:
        pieces = []
        while count > 0 and (self._ready or self._inflate()):
            pieces.append(self._ready[:count])
            self._ready = self._ready[count:]
            count -= len(pieces[-1])
        return b"".join(pieces)

    def skip(self, count: int) -> None:
        while count > 0 and (skipped := len(self.read(min(count, 65536)))):
            count -= skipped

    def _inflate(self) -> bool:
        while not self._ready and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(65536)
            if not packed:
                break
            self._ready = self._inflater.decompress(packed, 65536)
        self._inflated += len(self._ready)
        if self._inflated > _MOST_INFLATED:
            raise ValueError("no Study Instance UID in the first 64 MiB of the inflated data set")
        return bool(self._ready)


class _Walk:
    """Over the elements of a data set (PS3.5 section 7)."""

    def __init__(self, source: _Source, byte_order: str) -> None:
        self._source = source
        self._order = byte_order
        self._implicit = False
        self._ahead = b""

    def begin(self, implicit: bool) -> None:
        """Look at the first element: some senders encode other than they negotiated, and readers must cope."""
        self._ahead = self._source.read(8)
        vr = self._ahead[4:6]
        looks_explicit = vr.isalpha() and vr.isupper()
        self._implicit = implicit and not looks_explicit if vr else implicit

    def next_element(self) -> tuple[int, int] | None:
        """Tag and length of the next element, the position at its value; None at the end."""
        head = self._ahead or self._source.read(8)
        self._ahead = b""
        if not head:
            return None
        group, number = unpack(f"{self._order}HH", head[:4])
        tag = group << 16 | number
        vr = head[4:6]
        if group == 0xFFFE or self._implicit or not (vr.isalpha() and vr.isupper()):
            return tag, unpack(f"{self._order}L", head[4:8])[0]
        if vr in _LONG_VRS:
            return tag, unpack(f"{self._order}L", self._source.read(4))[0]
        return tag, unpack(f"{self._order}H", head[6:8])[0]

    def take(self, length: int) -> bytes:
        return self._source.read(length)

    def skip_value(self, length: int, depth: int = 0) -> None:
        if length != _UNDEFINED:
            self._source.skip(length)
            return
        if depth > _DEEPEST:
            raise ValueError("sequences nested too deeply")
        while (element := self.next_element()) and element[0] != _SEQUENCE_END:
            tag, length = element
            if tag != _ITEM:
                raise ValueError(f"({tag >> 16:04x},{tag & 0xFFFF:04x}) stands where an item must be")
            if length == _UNDEFINED:
                self._skip_item(depth)
            else:
                self._source.skip(length)

    def _skip_item(self, depth: int) -> None:
        while (element := self.next_element()) and element[0] != _ITEM_END:
            self.skip_value(element[1], depth + 1)
