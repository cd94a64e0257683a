"""The cost of decoding a stored object, estimated from its header."""

from __future__ import annotations

from triage.decision.types import REQUESTED_PROCEDURE_PRIORITY, Priority
from triage.dicom.byte_source import Openable, OpenFileSource
from triage.dicom.file_meta import FileMeta, read_file_meta
from triage.dicom.header_scan import read_work
from triage.dicom.part10 import receipt_of
from triage.runtime.decode_scheduler import DecodeCost

_BYTES_PER_PIXEL = 24
"""At the peak: the decoder's output (JPEG 2000: 4 and a copy), stored values, their index, grey as float32, masks."""
_BYTES_PER_FILE_BYTE = 3  # the file, its data set, its pixels
_BASE_BYTES = 64 << 20
_MAX_PIXELS = 100_000_000  # larger images are not decoded


def estimate_cost(stored: Openable) -> DecodeCost:
    """Return the cost of an object in the inbox. An unreadable file costs little: it is not decoded."""
    try:
        with stored.open("rb") as file:
            source = OpenFileSource(file)
            meta = read_file_meta(source)
            work = read_work(source, meta)
    except Exception:  # the edge: the file may hold anything; the child reports the error
        return DecodeCost(_BASE_BYTES)
    decoded = work.pixels if work.pixels <= _MAX_PIXELS else 0
    memory = _BASE_BYTES + _BYTES_PER_FILE_BYTE * source.size() + _BYTES_PER_PIXEL * decoded
    stat = REQUESTED_PROCEDURE_PRIORITY.get(work.order_priority.upper()) is Priority.HIGH
    return DecodeCost(memory, _sender(meta), stat)


def _sender(meta: FileMeta) -> str:
    """Return who sent an object; of one whose receipt is unreadable, nothing: it is decoded, and needs its memory."""
    try:
        receipt = receipt_of(meta)
    except (ValueError, AttributeError, RecursionError):
        return ""
    return f"{receipt.calling_ae_title}@{receipt.peer}"
