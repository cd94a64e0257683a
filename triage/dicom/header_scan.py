"""UIDs, dates, size and order of a data set, read from its first elements, without its pixels.

In constant memory, except for the inflated part of a deflated data set. pydicom would decode as it reads (and warn,
which is not thread-safe), would inflate a deflated data set whole, and would keep all items of a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from triage.dicom.byte_source import ByteSource, InflatedSource, OpenFileSource
from triage.dicom.element_walk import Walk
from triage.dicom.file_meta import FileMeta

_WANTED = {0x00080016: "sop_class_uid", 0x00080018: "sop_instance_uid", 0x0020000D: "study_instance_uid"}
_DATES = (0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002A)
"""Those of ``attributes.ACQUISITION_DATES``: study, series, acquisition and content date, acquisition date and time."""
_LAST = 0x0020000D
_SAMPLES, _ROWS, _COLUMNS = 0x00280002, 0x00280010, 0x00280011
_ORDER_PRIORITY = 0x00401003
_MOST_INFLATED = 64 * 1024 * 1024


@dataclass(frozen=True)
class ScannedIdentity:
    """UIDs and dates of a data set without padding; empty where absent. They are not validated."""

    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    dates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScannedWork:
    """Pixels of a data set (Rows times Columns times Samples per Pixel, 0 if they are absent), and how urgent it is.

    ``order_priority``: Requested Procedure Priority; empty if it is absent.
    """

    pixels: int = 0
    order_priority: str = ""


def read_identity(data_set: BinaryIO, transfer_syntax_uid: str) -> ScannedIdentity:
    """Read the identity of the data set at the file's position, as far as it can be read. Raises OSError.

    Where the elements are not in order, all are read until the three UIDs are known. Of an element that is there twice
    the first one counts, here and in the worker.
    """
    start = data_set.tell()
    source, walk = _walk(OpenFileSource(data_set, start), start, transfer_syntax_uid)
    uids: dict[str, str] = {}
    dates: list[str] = []
    for tag, _, _, value_at, end, *_ in walk.elements():
        if tag > _LAST and len(uids) == len(_WANTED):
            break
        if tag in _WANTED and end - value_at <= 1024:
            uids[_WANTED[tag]] = source.read(value_at, end - value_at).decode("latin-1").strip("\0 ")
        elif tag in _DATES and end - value_at <= 64:
            dates.append(source.read(value_at, end - value_at).decode("latin-1").strip("\0 "))
    return ScannedIdentity(**uids, dates=tuple(dates))


def read_work(file: ByteSource, meta: FileMeta) -> ScannedWork:
    """Read from a file how much work its data set is, and how urgent, as far as it can be read. Raises OSError.

    Where the elements are not in order, all are read until the size is known: it needs its memory in any order.
    """
    syntax = meta.transfer_syntax_uid
    source, walk = _walk(file, meta.end, syntax)
    order: Literal["big", "little"] = "big" if syntax == ExplicitVRBigEndian else "little"
    sizes, priority = {_SAMPLES: 1, _ROWS: 0, _COLUMNS: 0}, ""
    for tag, _, _, value_at, end, *_ in walk.elements():
        if tag == _ORDER_PRIORITY and end - value_at <= 64:
            priority = source.read(value_at, end - value_at).decode("latin-1").strip("\0 ")
        if tag >= _ORDER_PRIORITY and sizes[_ROWS] and sizes[_COLUMNS]:
            break
        if tag in sizes:
            sizes[tag] = int.from_bytes(source.read(value_at, 2), order)
    return ScannedWork(sizes[_ROWS] * sizes[_COLUMNS] * sizes[_SAMPLES], priority)


def _walk(source: ByteSource, start: int, transfer_syntax_uid: str) -> tuple[ByteSource, Walk]:
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        source, start = InflatedSource(source, start, _MOST_INFLATED), 0
    walk = Walk(
        source,
        start,
        implicit=transfer_syntax_uid == ImplicitVRLittleEndian,
        big_endian=transfer_syntax_uid == ExplicitVRBigEndian,
    )
    return source, walk
