"""Faults in the encoding of a data set, in words that contain no value of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydicom.datadict import keyword_for_tag


class Kind(StrEnum):
    """Faults of encoding (PS3.5 chapter 7)."""

    CUT = "cut short"
    NOT_CLOSED = "not closed"  # a delimiter is missing
    DELIMITER = "closed by the wrong delimiter"
    STRAY = "a delimiter that closes nothing"
    VR = "its VR is none"
    KIND = "its VR is another than that of the dictionary, sequence or not"
    REPEATED = "there twice, with other values"
    NO_ELEMENT = "what follows is no element"
    TOO_DEEP = "nested too deeply"
    TOO_MANY = "too many elements"
    UNREADABLE = "it cannot be read"
    PADDING = "zeros behind the last element"


@dataclass(frozen=True)
class Fault:
    """One fault. ``tag`` is the element of the data set that has it, or after which it stands if ``after``.

    ``stated`` and ``there`` are lengths in bytes. ``ends``: nothing behind it was read. ``hides``: it is in a sequence
    that may contain elements which belong to the data set.
    """

    kind: Kind
    tag: int
    after: bool = False
    stated: int | None = None
    there: int | None = None
    ends: bool = False
    hides: bool = False

    def __str__(self) -> str:
        where = f"after {name(self.tag)}" if self.after else name(self.tag)
        lengths = "" if self.stated is None else f", {self.stated} bytes stated, {self.there} there"
        return f"{where}: {self.kind}{lengths}"


def name(tag: int) -> str:
    """Return an element's keyword. An unknown tag is not shown: it may be part of a value, and name a patient."""
    if tag < 0:
        return "the beginning"
    return keyword_for_tag(tag) or ("a private element" if tag >> 16 & 1 else "an unknown element")
