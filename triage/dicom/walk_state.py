"""State of a walk over a data set: the element that it is in, the faults that it found, and its limits."""

from __future__ import annotations

from triage.dicom.elements import NO_TAG
from triage.dicom.fault import Fault, Kind
from triage.errors import TriageError

_MOST_ELEMENTS = 250_000  # an object has some hundreds, a large report some ten thousand
_MOST_FAULTS = 1000
_MOST_IDLE = 10_000  # steps that bring nothing: bytes that are made to be slow are little else


class WalkEndError(TriageError):
    """The walk ends here, or goes on behind the sequence or item that it is in. Never leaves the walk.

    ``stated`` and ``there`` are lengths in bytes, as in ``Fault``.
    """

    def __init__(self, kind: Kind, stated: int | None = None, there: int | None = None) -> None:
        super().__init__(kind)
        self.kind, self.stated, self.there = kind, stated, there


class WalkLimitError(WalkEndError):
    """Too many elements or faults: the walk ends, wherever it is."""


class WalkState:
    """Position and faults of one walk.

    ``current`` is the tag of the data set's element that the walk is in, ``previous`` that of the element before;
    NO_TAG at the beginning. Elements of sequences do not change them.
    """

    def __init__(self) -> None:
        self.current = NO_TAG
        self.previous = NO_TAG
        self.faults: list[Fault] = []
        self._count = self._idle = 0

    def count_header(self) -> None:
        """Count one header, of an element or an item. Raises WalkLimitError."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise WalkLimitError(Kind.TOO_MANY)

    def count_idle(self) -> None:
        """Count a repeated element that says the same, an item without elements, an empty fragment.

        Raises WalkLimitError.
        """
        self._idle += 1
        if self._idle > _MOST_IDLE:
            raise WalkLimitError(Kind.TOO_MANY)

    def enter(self, tag: int, depth: int) -> None:
        """Record that the walk is in an element; only those of the data set itself (``depth`` 0) count."""
        if depth == 0:
            self.current = tag

    def stay_behind(self, depth: int) -> None:
        """Record that no element begins here: a fault found here stands after the previous one."""
        if depth == 0:
            self.current = self.previous

    def record(self, kind: Kind, *, after: bool = False, hides: bool = False) -> None:
        """Record a fault behind which the walk goes on. Raises WalkLimitError."""
        if len(self.faults) >= _MOST_FAULTS:
            raise WalkLimitError(Kind.TOO_MANY)
        self.faults.append(Fault(kind, self.current, after, hides=hides))

    def end(self, error: WalkEndError) -> None:
        """Record the fault that ended the walk."""
        tag = self.current
        self.faults.append(Fault(error.kind, tag, tag == self.previous, error.stated, error.there, ends=True))
