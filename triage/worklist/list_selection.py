"""Selection of a page from studies in memory: filter, search, order and cursor. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from triage.decision.types import Priority, TriageDecision
from triage.worklist import list_order
from triage.worklist.index_keys import microseconds
from triage.worklist.index_state import FirstToRead
from triage.worklist.list_filter import EVERYTHING
from triage.worklist.listed_study import ListedStudy
from triage.worklist.patient_match import matches, words
from triage.worklist.query import ListRequest

_STEP_US = 5_000_000
"""Steps of the time at which waiting is judged, in microseconds: pages within one step share one selection."""


@dataclass(frozen=True)
class Moment:
    """Time of a list's first page in microseconds, which holds for all pages. ``cutoff_us``: see ``past_cap``."""

    as_of_us: int
    cutoff_us: int

    @classmethod
    def of(cls, request: ListRequest, now: float, waiting_cap_s: float) -> Self:
        """Return the moment of a request at ``now`` (POSIX seconds). Raises BadCursorError."""
        as_of_us = list_order.as_of(request.cursor, request.sort, now) // _STEP_US * _STEP_US
        return cls(as_of_us, as_of_us - microseconds(waiting_cap_s) if waiting_cap_s else 0)


@dataclass(frozen=True)
class Selection:
    """The studies that match a request, in its order, and the numbers of those of them that come first."""

    studies: Sequence[ListedStudy]
    first: FirstToRead

    def page(self, request: ListRequest, moment: Moment) -> tuple[Sequence[ListedStudy], str | None]:
        """Return the studies of a page, and the cursor of the next one. Raises BadCursorError."""
        start = self._start(request, moment)
        page = self.studies[start : start + request.limit]
        if start + request.limit >= len(self.studies):
            return page, None
        return page, list_order.cursor_behind(page[-1], request.sort, moment.as_of_us, moment.cutoff_us)

    def _start(self, request: ListRequest, moment: Moment) -> int:
        if request.cursor is None:
            return 0
        is_behind = list_order.is_behind(request.cursor, request.sort, moment.cutoff_us)
        return bisect_left(range(len(self.studies)), True, key=lambda index: is_behind(self.studies[index]))


def select(by_arrival: Iterable[ListedStudy], request: ListRequest, moment: Moment) -> Selection:
    """Return the matching ones of studies in the order of their arrival, whatever page is requested."""
    found = _matching(by_arrival, request, moment)
    first = FirstToRead(
        sum(study.decision.priority is Priority.HIGH for study in found),
        _past_cap(found, moment.cutoff_us),
    )
    return Selection(list_order.ordered(found, request.sort, moment.cutoff_us), first)


def _matching(studies: Iterable[ListedStudy], request: ListRequest, moment: Moment) -> list[ListedStudy]:
    wanted, admits, as_of = _text_test(request), request.filter.admits, moment.as_of_us / 1_000_000
    if wanted is None and request.filter == EVERYTHING:
        return list(studies)
    if wanted is None:
        return [study for study in studies if admits(study, as_of)]
    return [study for study in studies if wanted(study) and admits(study, as_of)]


def _past_cap(by_arrival: Sequence[ListedStudy], cutoff_us: int) -> int:
    """Return how many studies are past the waiting cap and not HIGH."""
    late = bisect_left(by_arrival, (cutoff_us, ""), key=lambda study: study.arrival)
    return sum(study.decision.priority is not Priority.HIGH for study in by_arrival[:late])


def _text_test(request: ListRequest) -> Callable[[ListedStudy], bool] | None:
    """Return a function that says whether a study matches all texts of a request; None if it has no text."""
    text, number = request.text.lower(), request.number.lower()
    by_text, by_patient = words(request.text), words(request.patient)

    def matches_texts(study: ListedStudy) -> bool:
        if by_patient and not matches(study.facts.searchable, by_patient):
            return False
        if number and not _has_number(study.decision, number):
            return False
        return not text or matches(study.facts.searchable, by_text) or _has_number(study.decision, text)

    if not (text or number or request.patient):
        return None
    if request.patient and not by_patient:  # nothing but separators
        return lambda study: False
    return matches_texts


def _has_number(decision: TriageDecision, text: str) -> bool:
    fields = (decision.accession_number, decision.calling_ae_title, decision.study_instance_uid)
    return any(text in field.lower() for field in fields)
