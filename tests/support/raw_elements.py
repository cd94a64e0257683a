"""Data sets whose elements are written byte by byte: what pydicom would refuse to write."""

from __future__ import annotations

import struct
from io import BytesIO

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from tests.support.dicom_peer import encoded
from triage.dicom.data_set import read_header

_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")


def element(keyword: str, value: bytes, vr: str = "") -> bytes:
    """One element in Explicit VR Little Endian, under the VR of the dictionary if none is given."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = vr or dictionary_VR(tag)
    value += b"\0" * (len(value) % 2) if vr in ("OB", "UI", "UN") else b" " * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HI", 0, len(value)) if vr in _LONG else struct.pack("<H", len(value))) + value


def item(*elements: bytes) -> bytes:
    """One item of a sequence."""
    content = b"".join(elements)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def pieces(dataset: Dataset) -> dict[int, bytes]:
    """The elements of ``dataset`` before its pixels, each as it is written."""
    return {element.tag: encoded(Dataset({element.tag: element})) for element in dataset if element.tag < 0x7FE00000}


def joined(whole: dict[int, bytes], raw: dict[str, bytes]) -> bytes:
    """A data set of ``pieces``, with those of ``raw`` (from ``element``) in their places."""
    whole = whole | {tag: content for keyword, content in raw.items() if (tag := tag_for_keyword(keyword)) is not None}
    return b"".join(whole[tag] for tag in sorted(whole))


def with_elements(whole: dict[int, bytes], raw: dict[str, bytes]) -> Dataset:
    """The same as the service reads it."""
    return read_header(BytesIO(joined(whole, raw)))
