"""One element of a data set with all that is nested in it: fragments, sequences, items (PS3.5 7.5, A.4).

Faults go into the state of the walk. After a fault within a sequence or an item whose length is stated, the walk goes
on behind it.
"""

from __future__ import annotations

from triage.dicom.byte_source import ByteSource
from triage.dicom.element_header import CUT, HEADER_SIZE, INVALID_VR, Container, Header, HeaderReader
from triage.dicom.elements import (
    DELIMITERS,
    ITEM,
    ITEM_END,
    NO_TAG,
    PIXEL_DATA,
    SEQUENCE_END,
    SEQUENCES,
    UNDEFINED,
    Element,
    ElementState,
    SequenceItem,
    dictionary_vr,
    in_dictionary,
    is_upper,
)
from triage.dicom.fault import Kind
from triage.dicom.lost_vr import LengthFinder, LengthForm
from triage.dicom.walk_state import WalkEndError, WalkLimitError, WalkState

_OPAQUE = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"))
_MAY_BE_SEQUENCE = frozenset((b"", b"SQ", b"UN"))

_DEEPEST = 32
LONGEST_SEQUENCE = 1 << 20
"""Bytes of a sequence of stated length that is looked into."""


class ElementReader:
    """Reads the elements of one data set in ``source``; ``order`` is ``<`` or ``>``. Headers only, and no values."""

    def __init__(self, source: ByteSource, order: str, state: WalkState) -> None:
        self._source, self._read = source, source.read
        self._headers = HeaderReader(order)
        self._lengths = LengthFinder(source, order)
        self._state = state
        self._not_zero_at = -1

    def element(self, at: int, container: Container) -> Element | None:
        """Return the element or delimiter at a position; None at the end of its container. Raises WalkEndError."""
        self._state.count_header()
        head = self._read(at, HEADER_SIZE)
        if len(head) < 8 or (container.end is not None and at + 8 > container.end):
            self._check_end(head, at, container)
            return None
        header = self._headers.header(head, at, container.implicit)
        if not header.tag and not container.depth and self._only_zeros(at):
            self._end_at_zeros()
            return None
        if header.tag >> 16 == DELIMITERS and header.vr in (b"", INVALID_VR):
            return header._replace(vr=b"").element(header.value_at + header.length)
        if header.vr == INVALID_VR:
            return self._without_vr(header.tag, head, at, container)
        return self._with_value(header, container)

    def is_implicit(self, start: int, negotiated: bool) -> bool:
        """Return whether the data set from ``start`` is in implicit VR, by its first element."""
        head = self._read(start, HEADER_SIZE)
        if len(head) < 8:
            return negotiated
        if is_upper(head[4:6]):
            return False
        return negotiated or self._lengths.form_of(start, None, False) in (None, LengthForm.IMPLICIT)

    def _with_value(self, header: Header, container: Container) -> Element:
        tag, vr, at, value_at, length = header
        self._state.enter(tag, container.depth)
        if length == CUT:
            raise WalkEndError(Kind.CUT)
        if length == UNDEFINED:
            return self._of_undefined_length(header, container)
        self._check_length(value_at, length, container.end)
        if tag in SEQUENCES:
            return self._sequence_of_length(header, container)
        if vr == b"SQ":
            return self._sequence_by_vr(header, container)
        return Element(tag, vr, at, value_at, value_at + length)

    def _check_length(self, at: int, length: int, end: int | None) -> None:
        if at + length > end if end is not None else not self._source.holds(at + length):
            raise WalkEndError(Kind.CUT, length, (self._source.size() if end is None else end) - at)

    def _check_end(self, head: bytes, at: int, container: Container) -> None:
        """Check the bytes at the end of a container, of which fewer are left than a header has."""
        self._state.stay_behind(container.depth)
        rest = head if container.end is None else head[: container.end - at]
        if rest.strip(b"\0"):
            raise WalkEndError(Kind.CUT, 8, len(rest))
        if container.depth and container.end is None:
            raise WalkEndError(Kind.NOT_CLOSED)
        if rest:
            self._state.record(Kind.PADDING, after=True)

    # Undefined lengths

    def _of_undefined_length(self, header: Header, container: Container) -> Element:
        before = len(self._state.faults)
        if header.tag == PIXEL_DATA or header.vr in _OPAQUE:
            end = self._fragments_end(header.value_at, container.end)
            closed = len(self._state.faults) == before
            return header.element(end, ElementState.WHOLE if closed else ElementState.UNCLOSED)
        if header.vr not in _MAY_BE_SEQUENCE:
            raise WalkEndError(Kind.NO_ELEMENT)
        items: list[SequenceItem] = []
        end = self._read_items(items, header, container._replace(stated=False))
        return self._sequence(header, end, items, whole=len(self._state.faults) == before)

    def _fragments_end(self, at: int, end: int | None) -> int:
        """Return the position behind encapsulated pixel data (A.4): fragments, each of a stated length."""
        while at < end if end is not None else self._source.holds(at + 1):
            tag, length = self._item_header(at, end)
            if tag in (SEQUENCE_END, ITEM_END) and length == 0:
                if tag == ITEM_END:
                    self._state.record(Kind.DELIMITER)
                return at + 8
            if tag != ITEM or length == UNDEFINED:
                raise WalkEndError(Kind.NO_ELEMENT)
            self._check_length(at + 8, length, end)
            if not length:
                self._state.count_idle()
            at += 8 + length
        self._state.record(Kind.NOT_CLOSED)
        return at

    def _item_header(self, at: int, end: int | None) -> tuple[int, int]:
        head = self._read(at, 8)
        self._state.count_header()
        if len(head) < 8 or (end is not None and at + 8 > end):
            raise WalkEndError(Kind.NOT_CLOSED)
        return self._headers.item(head)

    # Sequences

    def _sequence_of_length(self, header: Header, container: Container) -> Element:
        """Return a sequence of stated length. Its faults may hide elements behind it: the length may be wrong, too."""
        end = header.value_at + header.length
        if header.vr not in _MAY_BE_SEQUENCE:
            self._state.record(Kind.KIND)
            return header.element(end, ElementState.DROPPED)
        if header.length > LONGEST_SEQUENCE:
            return header.element(end)
        before = len(self._state.faults)
        items: list[SequenceItem] = []
        try:
            self._read_items(items, header, container._replace(end=end, stated=True))
        except WalkLimitError:
            raise
        except WalkEndError as inner:
            self._state.record(inner.kind, hides=True)
        return self._sequence(header, end, items, whole=len(self._state.faults) == before)

    def _sequence_by_vr(self, header: Header, container: Container) -> Element:
        """Return a sequence by its VR and not by the dictionary, where it has to be private or unknown."""
        if not header.tag >> 16 & 1 and in_dictionary(header.tag):
            self._state.record(Kind.KIND)
            return header.element(header.value_at + header.length, ElementState.DROPPED)
        return self._sequence_of_length(header, container)

    def _sequence(self, header: Header, end: int, items: list[SequenceItem], *, whole: bool) -> Element:
        if whole:
            return header.element(end)
        if header.vr == b"UN":  # in another encoding than the data set, and too odd to be mended
            return header.element(end, ElementState.DROPPED)
        return header.element(end, ElementState.MENDED, tuple(items))

    def _read_items(self, items: list[SequenceItem], header: Header, sequence: Container) -> int:
        """Add the items of a sequence to ``items``, those before a fault too; return the position behind it."""
        if sequence.depth >= _DEEPEST:
            raise WalkEndError(Kind.TOO_DEEP)
        at = header.value_at
        while sequence.end is None or at < sequence.end:
            tag, length = self._item_header(at, sequence.end)
            if tag == ITEM:
                at = self._read_item(items, at + 8, length, sequence)
            elif tag == SEQUENCE_END and not sequence.stated:
                return at + 8
            elif tag in (SEQUENCE_END, ITEM_END) and length == 0:
                at += 8
                self._state.record(Kind.DELIMITER)
                if not sequence.stated and self._tag_at(at) not in (ITEM, SEQUENCE_END):
                    return at
            elif not sequence.stated and self._may_follow(header.tag, at, sequence):
                self._state.record(Kind.NOT_CLOSED)
                return at
            else:
                raise WalkEndError(Kind.NO_ELEMENT)
        if not sequence.stated:
            self._state.record(Kind.NOT_CLOSED)
        return at

    def _read_item(self, items: list[SequenceItem], at: int, length: int, sequence: Container) -> int:
        """Add an item, whose elements begin at ``at``, to ``items``; return the position behind it."""
        # By its first element, too: a sequence in UN of undefined length has its items in implicit VR (6.2.2).
        item = Container(sequence.end, sequence.implicit or not is_upper(self._read(at + 4, 2)), sequence.depth + 1)
        if length == UNDEFINED:
            elements, end = self._elements_of_item(at, item)
            items.append(SequenceItem(item.implicit, elements))
            return end
        self._check_length(at, length, sequence.end)
        item = item._replace(end=at + length, stated=True)
        try:
            elements, _ = self._elements_of_item(at, item)
            items.append(SequenceItem(item.implicit, elements))
        except WalkLimitError:
            raise
        except WalkEndError as inner:
            self._state.record(inner.kind)
        return at + length

    def _elements_of_item(self, at: int, item: Container) -> tuple[tuple[Element, ...], int]:
        """Return the elements of an item and the position behind it."""
        elements: list[Element] = []
        while item.end is None or at < item.end:
            element = self.element(at, item)
            if element is None:
                break
            if element.tag >> 16 == DELIMITERS:
                if not elements:
                    self._state.count_idle()
                return tuple(elements), self._item_end(element, item, elements)
            elements.append(element)
            at = element.end
        if not elements:
            self._state.count_idle()
        if not item.stated:
            self._state.record(Kind.NOT_CLOSED, hides=self._may_be_too_many(elements))
        return tuple(elements), at if item.end is None else max(at, item.end)

    def _item_end(self, delimiter: Element, item: Container, elements: list[Element]) -> int:
        """Return the position behind an item in which a delimiter stands."""
        if delimiter.end != delimiter.value_at and delimiter.tag != ITEM:
            raise WalkEndError(Kind.NO_ELEMENT)
        if item.stated:
            if delimiter.tag not in (ITEM_END, SEQUENCE_END) or delimiter.end != item.end:
                raise WalkEndError(Kind.NO_ELEMENT)
            self._state.record(Kind.STRAY)
            return delimiter.end
        if delimiter.tag == ITEM_END:
            return delimiter.end
        # The next item or the end of the sequence: this item's own delimiter is missing.
        self._state.record(Kind.DELIMITER, hides=self._may_be_too_many(elements))
        return delimiter.at

    def _may_be_too_many(self, elements: list[Element]) -> bool:
        """Return whether some may belong behind the sequence, in an item whose end is not marked."""
        return any(each.tag > self._state.current for each in elements)

    def _tag_at(self, at: int) -> int:
        head = self._read(at, 8)
        return self._headers.item(head)[0] if len(head) == 8 else NO_TAG

    def _may_follow(self, tag: int, at: int, container: Container) -> bool:
        """Return whether an element that may follow ``tag`` in the container stands at a position."""
        head = self._read(at, HEADER_SIZE)
        if len(head) < HEADER_SIZE:
            return False
        if container.implicit:
            next_tag, length = self._headers.item(head)
            return tag < next_tag and in_dictionary(next_tag) and self._lengths.fits(at + 8, length, container.end)
        return self._lengths.has_vr(head, at, container.end, tag)

    # Value representations

    def _without_vr(self, tag: int, head: bytes, at: int, container: Container) -> Element | None:
        """Return an element whose VR is none, as the dictionary has it, if its length is certain."""
        form = self._lengths.form_of(at, container.end, container.depth > 0)
        if form is None:
            self._state.stay_behind(container.depth)
            raise WalkEndError(Kind.NO_ELEMENT)
        self._state.enter(tag, container.depth)
        self._state.record(Kind.VR)
        length, value_at = self._lengths.length(form, head, at)
        vr = dictionary_vr(tag)
        state = ElementState.DROPPED if vr == b"SQ" else ElementState.MENDED
        return Element(tag, vr, at, value_at, value_at + length, state)

    def _end_at_zeros(self) -> None:
        """End the data set where nothing but zeros follows. Raises WalkEndError for one of zeros alone."""
        self._state.stay_behind(0)
        if self._state.previous == NO_TAG:
            raise WalkEndError(Kind.NO_ELEMENT)
        self._state.record(Kind.PADDING, after=True)

    def _only_zeros(self, at: int) -> bool:
        """Return whether there are only zeros from a position on; what is not zero is looked for once."""
        if at <= self._not_zero_at:
            return False
        while piece := self._read(at, 65536):
            if rest := piece.lstrip(b"\0"):
                self._not_zero_at = at + len(piece) - len(rest)
                return False
            at += len(piece)
        return True
