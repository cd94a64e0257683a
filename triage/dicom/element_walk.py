"""A walk over the elements of a data set that never raises and says what is wrong with it (PS3.5 chapter 7).

It reads headers of elements and no values, so that the listener, the worker and the delivery can all afford it, and
what one of them reads the others read too. Explicit and implicit VR, either byte order.

It goes on behind a fault only where the place of the next element is certain: the VR is none, and exactly one reading
of its length leads to an element (7.1.2, dictionary of PS3.6); a sequence is closed by the wrong delimiter or by none;
something is wrong inside a sequence or an item whose length is stated. Everything else ends the walk there.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from triage.dicom.byte_source import ByteSource
from triage.dicom.elements import (
    DELIMITERS,
    ITEM,
    ITEM_END,
    LONG_VRS,
    NO_TAG,
    PIXEL_DATA,
    SEQUENCE_END,
    SEQUENCES,
    SHORT_VRS,
    UNDEFINED,
    Element,
    ElementState,
    SequenceItem,
    dictionary_vr,
    in_dictionary,
    is_upper,
)
from triage.dicom.fault import Fault, Kind
from triage.dicom.lost_vr import LengthFinder, LengthForm

_OPAQUE = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"))
_MAY_BE_SEQUENCE = frozenset((b"", b"SQ", b"UN"))

_DEEPEST = 32
_MOST_ELEMENTS = 250_000  # an object has some hundreds, a large report some ten thousand
_MOST_FAULTS = 1000
_LONGEST_SEQUENCE = 1 << 20  # bytes of a sequence of stated length that is looked into


class _EndError(Exception):
    """The walk ends here, or goes on behind the sequence or item that it is in."""

    def __init__(self, kind: Kind, stated: int | None = None, there: int | None = None) -> None:
        self.kind, self.stated, self.there = kind, stated, there


class _TooMuchError(_EndError):
    """The walk ends here, wherever it is."""


class Walk:
    """Over a data set from the position ``start``. ``implicit`` as negotiated; what the bytes say goes first, for some
    senders encode other than they negotiated.

    ``faults`` and ``orderly`` (tags ascend) are of what has been walked over.
    """

    def __init__(self, source: ByteSource, start: int, *, implicit: bool, big_endian: bool = False) -> None:
        order = ">" if big_endian else "<"
        self._source, self._read = source, source.read
        self._explicit_header = Struct(f"{order}HH2sH").unpack_from
        self._implicit_header = Struct(f"{order}HHL").unpack_from
        self._long = Struct(f"{order}L").unpack_from
        self._start = start
        self._top = NO_TAG  # the element of the data set that the walk is in
        self._last = NO_TAG  # the one before
        self._count = 0
        self._lengths = LengthFinder(source, order)
        self.faults: list[Fault] = []
        self.orderly = True
        self.implicit = self._looks_implicit(implicit)

    def elements(self) -> Iterator[Element]:
        """The elements of the data set as they stand, each tag once, up to the end or the fault that ends the walk."""
        seen: dict[int, Element] = {}
        at = self._start
        try:
            while (element := self._element(at, None, self.implicit, 0)) is not None:
                at = element.end
                tag = element.tag
                if tag >> 16 == DELIMITERS:
                    self._pass_stray(element)
                    continue
                if tag <= self._last:
                    self.orderly = False
                self._last = tag
                if not self.orderly and tag in seen:
                    self._compare(seen[tag], element)
                    continue
                seen[tag] = element
                yield element
        except _EndError as end:
            tag = self._top
            self.faults.append(Fault(end.kind, tag, tag == self._last, end.stated, end.there, ends=True))

    def passes(self) -> bool:
        """Whether ``elements`` would come to the end without a fault and in order; in place of it, and faster."""
        at = self._start
        try:
            while (element := self._element(self._behind_plain(at), None, self.implicit, 0)) is not None:
                at = element.end
                if self.faults or element.tag <= self._last or element.tag >> 16 == DELIMITERS:
                    return False
                self._last = element.tag
        except _EndError:
            return False
        return not self.faults

    def _behind_plain(self, at: int) -> int:
        """The position behind elements that are nothing but whole and in order, of those at hand."""
        front, at, last = self._source.front, at - self._source.front_at, self._last
        size = -1 if self.implicit else len(front) - 12
        while at <= size:
            group, number, vr, length = self._explicit_header(front, at)
            tag = group << 16 | number
            if vr not in SHORT_VRS or tag <= last or tag in SEQUENCES or at + 8 + length > len(front):
                break
            at, last = at + 8 + length, tag
        self._last = last
        return at + self._source.front_at

    def _element(self, at: int, end: int | None, implicit: bool, depth: int) -> Element | None:
        """The element or delimiter at a position; None at the end of what holds it. ``end`` is that of the item."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise _TooMuchError(Kind.TOO_MANY)
        head = self._read(at, 12)
        if len(head) < 8 or (end is not None and at + 8 > end):
            self._end(head, at, end, depth)
            return None
        if implicit:
            group, number, length = self._implicit_header(head)
            vr, value_at = b"", at + 8
            tag = group << 16 | number
            if group == DELIMITERS:
                return _delimiter(tag, length, at)
        else:
            group, number, vr, length = self._explicit_header(head)
            tag = group << 16 | number
            if vr in SHORT_VRS:
                value_at = at + 8
            elif vr in LONG_VRS:
                self._enter(tag, depth)
                if len(head) < 12:
                    raise _EndError(Kind.CUT)
                length, value_at = self._long(head, 8)[0], at + 12
            elif group == DELIMITERS:
                return _delimiter(tag, self._long(head, 4)[0], at)
            else:
                return self._without_vr(tag, head, at, end, depth)
        self._enter(tag, depth)
        if length == UNDEFINED:
            return self._undefined(tag, vr, at, value_at, end, implicit, depth)
        stop = value_at + length
        self._check(value_at, length, end)
        if tag in SEQUENCES:
            return self._sequence_of_length(tag, vr, at, value_at, stop, implicit, depth)
        if vr == b"SQ":
            return self._private_sequence(tag, at, value_at, stop, depth)
        return Element(tag, vr, at, value_at, stop)

    def _check(self, at: int, length: int, end: int | None) -> None:
        if at + length > end if end is not None else not self._source.holds(at + length):
            raise _EndError(Kind.CUT, length, (self._source.size() if end is None else end) - at)

    def _enter(self, tag: int, depth: int) -> None:
        if depth == 0:
            self._top = tag

    def _end(self, head: bytes, at: int, end: int | None, depth: int) -> None:
        self._top = self._last if depth == 0 else self._top
        rest = head if end is None else head[: end - at]
        if rest.strip(b"\0"):
            raise _EndError(Kind.CUT, 8, len(rest))
        if depth and end is None:
            raise _EndError(Kind.NOT_CLOSED)
        if rest:
            self._note(Kind.PADDING, after=True)

    def _note(self, kind: Kind, *, after: bool = False, hides: bool = False) -> None:
        """A fault behind which the walk goes on."""
        if len(self.faults) >= _MOST_FAULTS:
            raise _TooMuchError(Kind.TOO_MANY)
        self.faults.append(Fault(kind, self._top, after, hides=hides))

    def _pass_stray(self, element: Element) -> None:
        self._top = self._last
        if element.tag == ITEM or element.value_at != element.end:
            raise _EndError(Kind.NO_ELEMENT)
        self._note(Kind.STRAY, after=True)

    def _compare(self, first: Element, again: Element) -> None:
        """The same element twice (7.1 has it once) is none if it says the same, and else the first one counts."""
        length = again.end - again.value_at
        same = length == first.end - first.value_at and length <= _LONGEST_SEQUENCE
        if not (same and self._read(first.value_at, length) == self._read(again.value_at, length)):
            self._note(Kind.REPEATED)

    # Undefined lengths

    def _undefined(
        self, tag: int, vr: bytes, at: int, value_at: int, end: int | None, implicit: bool, depth: int
    ) -> Element:
        if tag == PIXEL_DATA or vr in _OPAQUE:
            before, stop = len(self.faults), self._behind_fragments(value_at, end)
            return Element(
                tag, vr, at, value_at, stop, ElementState.UNCLOSED if len(self.faults) > before else ElementState.WHOLE
            )
        if vr not in _MAY_BE_SEQUENCE:
            raise _EndError(Kind.NO_ELEMENT)
        before, items = len(self.faults), list[SequenceItem]()
        stop = self._items(items, tag, value_at, end, implicit, depth, defined=False)
        if len(self.faults) == before:
            return Element(tag, vr, at, value_at, stop)
        return Element(tag, vr, at, value_at, stop, *_what_is_left(vr, items))

    def _behind_fragments(self, at: int, end: int | None) -> int:
        """The position behind encapsulated pixel data (annex A.4): fragments, each of a stated length."""
        while True:
            if not (at < end if end is not None else self._source.holds(at + 1)):
                self._note(Kind.NOT_CLOSED)
                return at
            tag, length = self._item_header(at, end)
            if tag in (SEQUENCE_END, ITEM_END) and length == 0:
                if tag == ITEM_END:
                    self._note(Kind.DELIMITER)
                return at + 8
            if tag != ITEM or length == UNDEFINED:
                raise _EndError(Kind.NO_ELEMENT)
            self._check(at + 8, length, end)
            at += 8 + length

    def _item_header(self, at: int, end: int | None) -> tuple[int, int]:
        head = self._read(at, 8)
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise _TooMuchError(Kind.TOO_MANY)
        if len(head) < 8 or (end is not None and at + 8 > end):
            raise _EndError(Kind.NOT_CLOSED)
        group, number, length = self._implicit_header(head)
        return group << 16 | number, length

    # Sequences

    def _sequence_of_length(
        self, tag: int, vr: bytes, at: int, value_at: int, stop: int, implicit: bool, depth: int
    ) -> Element:
        """A sequence by the dictionary. What is wrong inside is no fault of what follows; its length may be wrong."""
        if vr not in _MAY_BE_SEQUENCE:
            self._note(Kind.KIND)
            return Element(tag, vr, at, value_at, stop, ElementState.DROPPED)
        if stop - value_at > _LONGEST_SEQUENCE:
            return Element(tag, vr, at, value_at, stop)
        before, items = len(self.faults), list[SequenceItem]()
        try:
            self._items(items, tag, value_at, stop, implicit, depth, defined=True)
        except _TooMuchError:
            raise
        except _EndError as inner:
            self._note(inner.kind, hides=True)
        if len(self.faults) == before:
            return Element(tag, vr, at, value_at, stop)
        return Element(tag, vr, at, value_at, stop, *_what_is_left(vr, items))

    def _private_sequence(self, tag: int, at: int, value_at: int, stop: int, depth: int) -> Element:
        if not tag >> 16 & 1 and in_dictionary(tag):
            self._note(Kind.KIND)
            return Element(tag, b"SQ", at, value_at, stop, ElementState.DROPPED)
        return self._sequence_of_length(tag, b"SQ", at, value_at, stop, False, depth)

    def _items(
        self,
        items: list[SequenceItem],
        tag: int,
        at: int,
        end: int | None,
        implicit: bool,
        depth: int,
        *,
        defined: bool,
    ) -> int:
        """Read the items of a sequence into ``items``; the position behind it."""
        if depth >= _DEEPEST:
            raise _EndError(Kind.TOO_DEEP)
        while not (end is not None and at >= end):
            found, length = self._item_header(at, end)
            if found == ITEM:
                at = self._item(items, at + 8, length, end, implicit, depth + 1)
            elif found == SEQUENCE_END and not defined:
                return at + 8
            elif found in (SEQUENCE_END, ITEM_END) and length == 0:
                at += 8
                self._note(Kind.DELIMITER)
                if not defined and self._peek(at) not in (ITEM, SEQUENCE_END):
                    return at
            elif not defined and self._is_next(at, end, tag, implicit):
                self._note(Kind.NOT_CLOSED)
                return at
            else:
                raise _EndError(Kind.NO_ELEMENT)
        if not defined:
            self._note(Kind.NOT_CLOSED)
        return at

    def _item(
        self, items: list[SequenceItem], at: int, length: int, end: int | None, implicit: bool, depth: int
    ) -> int:
        implicit = self._item_is_implicit(at, implicit)
        if length == UNDEFINED:
            elements, stop = self._elements_of_item(at, end, implicit, depth, defined=False)
            items.append(SequenceItem(implicit, elements))
            return stop
        self._check(at, length, end)
        stop = at + length
        try:
            elements, _ = self._elements_of_item(at, stop, implicit, depth, defined=True)
            items.append(SequenceItem(implicit, elements))
        except _TooMuchError:
            raise
        except _EndError as inner:
            self._note(inner.kind)
        return stop

    def _elements_of_item(
        self, at: int, end: int | None, implicit: bool, depth: int, *, defined: bool
    ) -> tuple[tuple[Element, ...], int]:
        elements: list[Element] = []
        while not (end is not None and at >= end):
            element = self._element(at, end, implicit, depth)
            if element is None:
                break
            if element.tag >> 16 != DELIMITERS:
                elements.append(element)
                at = element.end
            elif element.end != element.value_at and element.tag != ITEM:
                raise _EndError(Kind.NO_ELEMENT)
            elif element.tag == ITEM_END and not defined:
                return tuple(elements), element.end
            elif defined and element.tag in (ITEM_END, SEQUENCE_END) and element.end == end:
                self._note(Kind.STRAY)
                at = element.end
            elif defined:
                raise _EndError(Kind.NO_ELEMENT)
            else:  # the next item or the end of the sequence: this item's own delimiter is missing
                self._note(Kind.DELIMITER, hides=self._may_be_too_many(elements))
                return tuple(elements), at
        if not defined:
            self._note(Kind.NOT_CLOSED, hides=self._may_be_too_many(elements))
        return tuple(elements), at if end is None else max(at, end)

    def _may_be_too_many(self, elements: list[Element]) -> bool:
        """Whether some could be those that follow the sequence, in an item whose end is not marked."""
        return any(each.tag > self._top for each in elements)

    def _peek(self, at: int) -> int:
        head = self._read(at, 8)
        if len(head) < 8:
            return NO_TAG
        group, number, _ = self._implicit_header(head)
        return int(group << 16 | number)

    def _is_next(self, at: int, end: int | None, tag: int, implicit: bool) -> bool:
        """Whether the element that may follow a sequence stands here."""
        head = self._read(at, 12)
        if len(head) < 12:
            return False
        if implicit:
            group, number, length = self._implicit_header(head)
            found, value_at = group << 16 | number, at + 8
            return tag < found and in_dictionary(found) and self._lengths.fits(value_at, length, end)
        return self._lengths.has_vr(head, at, end, tag)

    # Value representations

    def _looks_implicit(self, implicit: bool) -> bool:
        head = self._read(self._start, 12)
        if len(head) < 8:
            return implicit
        if is_upper(head[4:6]):
            return False
        return implicit or self._lengths.form_of(self._start, None, False) in (None, LengthForm.IMPLICIT)

    def _item_is_implicit(self, at: int, implicit: bool) -> bool:
        """An item is in implicit VR if its sequence is, or looks so (6.2.2: UN of undefined length)."""
        return implicit or not is_upper(self._read(at + 4, 2))

    def _without_vr(self, tag: int, head: bytes, at: int, end: int | None, depth: int) -> Element | None:
        """An element whose VR is none: read as the dictionary has it, if its length is certain."""
        if tag == 0 and depth == 0 and self._only_zeros(at):
            self._top = self._last
            self._note(Kind.PADDING, after=True)
            return None
        form = self._lengths.form_of(at, end, depth > 0)
        if form is None:
            if depth == 0:
                self._top = self._last
            raise _EndError(Kind.NO_ELEMENT)
        self._enter(tag, depth)
        self._note(Kind.VR)
        length, value_at = self._lengths.length(form, head, at)
        vr = dictionary_vr(tag)
        state = ElementState.DROPPED if vr == b"SQ" else ElementState.MENDED
        return Element(tag, vr, at, value_at, value_at + length, state)

    def _only_zeros(self, at: int) -> bool:
        while piece := self._read(at, 65536):
            if piece.strip(b"\0"):
                return False
            at += len(piece)
        return True


def _delimiter(tag: int, length: int, at: int) -> Element:
    """A delimiter where an element may be."""
    return Element(tag, b"", at, at + 8, at + 8 + length)


def _what_is_left(vr: bytes, items: list[SequenceItem]) -> tuple[ElementState, tuple[SequenceItem, ...] | None]:
    """Of a sequence with a fault. One in UN is in another encoding than the data set, and too odd to be mended."""
    return (ElementState.DROPPED, None) if vr == b"UN" else (ElementState.MENDED, tuple(items))
