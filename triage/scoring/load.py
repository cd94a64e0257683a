"""What decoding a stored object will cost, by its header, and who sent it."""

from __future__ import annotations

from pathlib import Path

from triage.dicom.byte_source import OpenFileSource
from triage.dicom.data_set import behind_the_head
from triage.dicom.header_scan import read_pixel_count
from triage.dicom.part10 import read_receipt
from triage.runtime.turns import Load

_PER_PIXEL = 24
"""Bytes at the peak: what the decoder makes (JPEG 2000: 4 and a copy), stored values, their index, grey as float32, and
masks."""
_PER_BYTE = 3  # of the file: read, its data set, its pixels
_ALWAYS = 64 << 20
_MOST_PIXELS = 100_000_000  # more are not decoded


def load_of(path: Path) -> Load:
    """The load of an object in the inbox. What cannot be read costs little: it is not decoded."""
    try:
        receipt = read_receipt(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            at, syntax = behind_the_head(OpenFileSource(file))
            file.seek(at)
            pixels = read_pixel_count(file, syntax)
    except Exception:  # the edge: whatever the file holds; the child says what is wrong with it
        return Load(_ALWAYS)
    decoded = pixels if pixels <= _MOST_PIXELS else 0
    return Load(_ALWAYS + _PER_BYTE * size + _PER_PIXEL * decoded, f"{receipt.calling_ae_title}@{receipt.peer}")
