"""Positions of the elements of a data set, and value representations (PS3.5 chapters 6 and 7)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DELIMITERS = 0xFFFE  # their group
NO_TAG = -1

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs whose length has 16 bits, and 32 (7.1.2)."""
SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
"""Tags that are sequences by the dictionary (PS3.6)."""


class ElementState(IntEnum):
    """The usable part of an element."""

    WHOLE = 0  # its bytes as they are
    MENDED = 1  # its value, under the VR of the dictionary; or the items of a sequence that are whole
    UNCLOSED = 2  # its fragments, each of which is whole
    DROPPED = 3  # nothing


class Element(NamedTuple):
    """Positions of an element: its header from ``at``, its value from ``value_at``, the next element from ``end``.

    ``vr`` is empty in implicit VR. ``items`` are those of a sequence that is MENDED.
    """

    tag: int
    vr: bytes
    at: int
    value_at: int
    end: int
    state: ElementState = ElementState.WHOLE
    items: tuple[SequenceItem, ...] | None = None


class SequenceItem(NamedTuple):
    """An item of a sequence."""

    implicit: bool
    elements: tuple[Element, ...]


def in_dictionary(tag: int) -> bool:
    """Return whether PS3.6 has the element."""
    return tag in DicomDictionary


def dictionary_vr(tag: int) -> bytes:
    """Return the VR of the dictionary, the first of several; UN for a tag that it does not have."""
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        return b"UN"


def is_upper(vr: bytes) -> bool:
    """Return whether two bytes look like a VR, known or not."""
    return len(vr) == 2 and vr.isalpha() and vr.isupper()
