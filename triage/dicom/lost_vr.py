"""Length of elements whose value representation is invalid (PS3.5 7.1.2)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from triage.dicom.byte_source import ByteSource
from triage.dicom.elements import (
    DELIMITERS,
    ITEM,
    ITEM_END,
    LONG_VRS,
    NO_TAG,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
)

_LONGEST_CHAIN = 256  # elements without a VR, one behind the other


class LengthForm(IntEnum):
    """Form of the length in a header."""

    SHORT = 0  # 16 bits behind the VR
    LONG = 1  # 32 bits behind the VR and two zeros
    IMPLICIT = 2  # 32 bits where a VR should be


class LengthFinder:
    """Finds the form of the length in headers without a VR, in a data set with explicit VR.

    A form is accepted if it alone leads to an element with a VR and a higher tag, or to the end; more elements without
    a VR may stand between, with lengths of the same form.
    """

    def __init__(self, source: ByteSource, order: str) -> None:
        self._source, self._read = source, source.read
        self._explicit = Struct(f"{order}HH2sH").unpack_from
        self._long = Struct(f"{order}L").unpack_from
        self._found: dict[int, LengthForm] = {}

    def form_of(self, at: int, end: int | None, nested: bool) -> LengthForm | None:
        """Return the form of the header at a position, None if not certain. ``end``: that of the item, if stated."""
        if at in self._found:
            return self._found[at]
        by_end: dict[int, dict[int, LengthForm]] = {}
        for form in LengthForm:
            chain: dict[int, LengthForm] = {}
            stop = self._follow(at, end, nested, form, chain)
            if stop is not None:
                by_end.setdefault(stop, chain)
        if len(by_end) != 1:
            return None
        (chain,) = by_end.values()
        self._found |= chain
        return self._found[at]

    def length(self, form: LengthForm, head: bytes, at: int) -> tuple[int, int]:
        """Return length and position of the value of an element at ``at``, whose header is ``head``."""
        if form is LengthForm.SHORT:
            return self._explicit(head)[3], at + 8
        if form is LengthForm.LONG:
            known = len(head) == 12 and head[6:8] == b"\0\0"
            return (self._long(head, 8)[0] if known else UNDEFINED), at + 12
        return self._long(head, 4)[0], at + 8

    def has_vr(self, head: bytes, at: int, end: int | None, before: int) -> bool:
        """Return whether a header has a VR and a higher tag than ``before``, and its value is there."""
        if len(head) < 8:
            return False
        group, number, vr, length = self._explicit(head)
        if group << 16 | number <= before or group == DELIMITERS:
            return False
        if vr in SHORT_VRS:
            return self.fits(at + 8, length, end)
        return vr in LONG_VRS and len(head) == 12 and self.fits(at + 12, self._long(head, 8)[0], end)

    def fits(self, value_at: int, length: int, end: int | None) -> bool:
        """Return whether a value is there as a whole; one of undefined length has to begin only."""
        stop = value_at if length == UNDEFINED else value_at + length
        return stop <= end if end is not None else self._source.holds(stop)

    def _follow(
        self, at: int, end: int | None, nested: bool, form: LengthForm, chain: dict[int, LengthForm]
    ) -> int | None:
        """Return where the element at a position ends, if its length is of this form; None if that leads nowhere.

        The positions of all elements without a VR on the way are added to ``chain``.
        """
        before, first = NO_TAG, None
        for _ in range(_LONGEST_CHAIN):
            head = self._read(at, 12)
            if first is not None and self._is_certain(head, at, end, nested, before):
                return first
            tag = self._lost(head)
            if tag <= before:
                return None
            length, value_at = self.length(form, head, at)
            if length == UNDEFINED or not self.fits(value_at, length, end):
                return None
            chain[at], before = form, tag
            at = value_at + length
            first = at if first is None else first
        return None

    def _lost(self, head: bytes) -> int:
        """Return the tag of an element without a VR; NO_TAG for anything else."""
        if len(head) < 8:
            return NO_TAG
        group, number, vr, _ = self._explicit(head)
        other = group == DELIMITERS or vr in SHORT_VRS or vr in LONG_VRS
        return NO_TAG if other else group << 16 | number

    def _is_certain(self, head: bytes, at: int, end: int | None, nested: bool, before: int) -> bool:
        """Return whether the bytes here may follow the element ``before``: the end, a delimiter, or an element."""
        if at == end if end is not None else not head:
            return True
        if nested and len(head) >= 8:
            group, number = self._explicit(head)[:2]
            if group << 16 | number in (ITEM, ITEM_END, SEQUENCE_END):
                return True
        return self.has_vr(head, at, end, before)
