"""A walk over the elements of a data set that never raises and reports the faults (PS3.5 chapter 7).

It reads headers of elements and no values, so that listener, worker and delivery can all use it, and all read the same
elements. Explicit and implicit VR, either byte order.

It goes on behind a fault only where the place of the next element is certain: the VR is none, and exactly one reading
of its length leads to an element (7.1.2, dictionary of PS3.6); a sequence is closed by the wrong delimiter or by none;
something is wrong inside a sequence or an item whose length is stated. Everything else ends the walk there.
"""

from __future__ import annotations

from collections.abc import Iterator

from triage.dicom.byte_source import ByteSource
from triage.dicom.element_header import Container, HeaderReader
from triage.dicom.element_reader import LONGEST_SEQUENCE, ElementReader
from triage.dicom.elements import DELIMITERS, ITEM, SEQUENCES, SHORT_VRS, Element
from triage.dicom.fault import Fault, Kind
from triage.dicom.walk_state import WalkEndError, WalkState


class Walk:
    """A walk over a data set from the position ``start``.

    ``implicit`` as negotiated; the first element decides, for some senders use another encoding than negotiated.
    ``orderly``: the tags of all that has been walked over ascend.
    """

    def __init__(self, source: ByteSource, start: int, *, implicit: bool, big_endian: bool = False) -> None:
        order = ">" if big_endian else "<"
        self._source = source
        self._start = start
        self._state = WalkState()
        self._reader = ElementReader(source, order, self._state)
        self._explicit_header = HeaderReader(order).explicit
        self.orderly = True
        self.implicit = self._reader.is_implicit(start, implicit)
        self._data_set = Container(None, self.implicit)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults of all that has been walked over."""
        return tuple(self._state.faults)

    def elements(self) -> Iterator[Element]:
        """Yield the elements of the data set as they stand, each tag once, up to the end or the fault that ends it."""
        seen: dict[int, Element] = {}
        at = self._start
        try:
            while (element := self._reader.element(at, self._data_set)) is not None:
                at = element.end
                tag = element.tag
                if tag >> 16 == DELIMITERS:
                    self._skip_stray(element)
                    continue
                if tag <= self._state.previous:
                    self.orderly = False
                self._state.previous = tag
                if not self.orderly and tag in seen:
                    self._compare(seen[tag], element)
                    continue
                seen[tag] = element
                yield element
        except WalkEndError as error:
            self._state.end(error)

    def passes(self) -> bool:
        """Return whether ``elements`` would reach the end without a fault and in order; a faster replacement of it."""
        at, state = self._start, self._state
        try:
            while (element := self._reader.element(self._behind_plain(at), self._data_set)) is not None:
                at = element.end
                if state.faults or element.tag <= state.previous or element.tag >> 16 == DELIMITERS:
                    return False
                state.previous = element.tag
        except WalkEndError:
            return False
        return not state.faults

    def _behind_plain(self, at: int) -> int:
        """Return the position behind elements that are nothing but whole and in order, of those at hand."""
        front, at, last = self._source.front, at - self._source.front_at, self._state.previous
        size = -1 if self.implicit else len(front) - 12
        while at <= size:
            group, number, vr, length = self._explicit_header(front, at)
            tag = group << 16 | number
            if vr not in SHORT_VRS or tag <= last or tag in SEQUENCES or at + 8 + length > len(front):
                break
            at, last = at + 8 + length, tag
        self._state.previous = last
        return at + self._source.front_at

    def _skip_stray(self, delimiter: Element) -> None:
        self._state.stay_behind(0)
        if delimiter.tag == ITEM or delimiter.value_at != delimiter.end:
            raise WalkEndError(Kind.NO_ELEMENT)
        self._state.record(Kind.STRAY, after=True)

    def _compare(self, first: Element, again: Element) -> None:
        """Record a tag that is there twice (7.1 has it once), unless both say the same. The first one counts."""
        length = again.end - again.value_at
        same = length == first.end - first.value_at and length <= LONGEST_SEQUENCE
        if not (same and self._source.read(first.value_at, length) == self._source.read(again.value_at, length)):
            self._state.record(Kind.REPEATED)
        else:
            self._state.count_idle()
