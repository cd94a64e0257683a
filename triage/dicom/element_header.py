"""Headers of elements and items (PS3.5 7.1.2, 7.1.3, 7.5), in either byte order."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from triage.dicom.elements import LONG_VRS, SHORT_VRS, Element, ElementState, SequenceItem

HEADER_SIZE = 12
"""Bytes of the longest header; the shortest has 8."""
INVALID_VR = b"--"
"""VR of a header in explicit VR that has none of PS3.5's. Its length is then read as that of a delimiter."""
CUT = -1
"""Length of a header that is cut short."""


class Container(NamedTuple):
    """A data set, a sequence or an item, as what holds elements.

    ``end``: the position behind it, or else behind the nearest container around it whose length is stated; None if
    only the end of the bytes is. ``depth``: how many sequences it is in. ``stated``: its own length is stated.
    """

    end: int | None
    implicit: bool
    depth: int = 0
    stated: bool = False


class Header(NamedTuple):
    """The header of an element at the position ``at``, its value from ``value_at``, ``length`` in bytes.

    ``vr`` is empty in implicit VR. ``length`` may be UNDEFINED or CUT.
    """

    tag: int
    vr: bytes
    at: int
    value_at: int
    length: int

    def element(
        self, end: int, state: ElementState = ElementState.WHOLE, items: tuple[SequenceItem, ...] | None = None
    ) -> Element:
        """Return the element with this header whose value ends at ``end``."""
        return Element(self.tag, self.vr, self.at, self.value_at, end, state, items)


class HeaderReader:
    """Reads headers in one byte order: ``order`` is ``<`` or ``>``."""

    def __init__(self, order: str) -> None:
        self.explicit = Struct(f"{order}HH2sH").unpack_from
        """Group, number, VR and 16 bits of length."""
        self._implicit = Struct(f"{order}HHL").unpack_from
        self._long = Struct(f"{order}L").unpack_from

    def header(self, head: bytes, at: int, implicit: bool) -> Header:
        """Return the header in ``head``, the 8 to 12 bytes at the position ``at``."""
        if implicit:
            tag, length = self.item(head)
            return Header(tag, b"", at, at + 8, length)
        group, number, vr, length = self.explicit(head)
        tag = group << 16 | number
        if vr in SHORT_VRS:
            return Header(tag, vr, at, at + 8, length)
        if vr in LONG_VRS:
            return Header(tag, vr, at, at + 12, self._long(head, 8)[0] if len(head) >= HEADER_SIZE else CUT)
        return Header(tag, INVALID_VR, at, at + 8, self._long(head, 4)[0])

    def item(self, head: bytes) -> tuple[int, int]:
        """Return tag and length of a header without a VR, as items and delimiters have it (7.5)."""
        group, number, length = self._implicit(head)
        return group << 16 | number, length
