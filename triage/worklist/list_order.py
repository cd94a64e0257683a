"""Orders of the list: the reading order, and by a column. Pure.

There is no order by probability: it is no severity (docs/adr/0004).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.worklist.index_keys import member, microseconds
from triage.worklist.listed_study import ListedStudy
from triage.worklist.page import BadCursorError, Position, read_cursor, write_cursor
from triage.worklist.patient_match import plain

Value = str | float
"""Value of a column that is compared: texts with texts, numbers with numbers."""
Key = tuple[int, Value, int, str]
"""Place of a study in an order by a column: 1 without a value, the value, arrival in microseconds, study."""


class Column(StrEnum):
    """Columns that the list can be sorted by."""

    TAG = "tag"
    URGENCY = "urgency"
    PATIENT_NAME = "patient_name"
    PATIENT_ID = "patient_id"
    AGE = "age"
    SEX = "sex"
    STUDY_DESCRIPTION = "study_description"
    VIEW = "view"
    ACQUIRED = "acquired"
    ARRIVED = "arrived"
    ACCESSION = "accession"
    SENDER = "sender"
    LOCATION = "location"
    REFERRER = "referrer"


@dataclass(frozen=True)
class Sort:
    """An order by a column. Studies without a value come last in both directions; equal ones by arrival."""

    column: Column
    descending: bool = False


_TAGS = {Tag.ABNORMAL: 0.0, Tag.NOT_ASSESSED: 1.0, Tag.NORMAL: 2.0}
_URGENCIES = {
    Urgency.CRITICAL: 0.0,
    Urgency.URGENT: 1.0,
    Urgency.NONURGENT: 2.0,
    Urgency.NOT_ASSESSED: 3.0,  # it may be any
    Urgency.NORMAL: 4.0,
}

_MISSING = ("", None)

_VALUES: dict[Column, Callable[[ListedStudy], Value | None]] = {
    Column.TAG: lambda study: _TAGS[study.decision.tag],
    Column.URGENCY: lambda study: _URGENCIES[study.decision.urgency],
    Column.PATIENT_NAME: lambda study: plain(study.facts.patient_name),
    Column.PATIENT_ID: lambda study: plain(study.facts.patient_id),
    Column.AGE: lambda study: study.facts.age_years,
    Column.SEX: lambda study: study.facts.sex,
    Column.STUDY_DESCRIPTION: lambda study: plain(study.facts.study_description),
    Column.VIEW: lambda study: study.facts.view,
    Column.ACQUIRED: lambda study: study.facts.acquired_at,
    Column.ARRIVED: lambda study: study.decision.received_at,
    Column.ACCESSION: lambda study: plain(study.decision.accession_number),
    Column.SENDER: lambda study: plain(study.decision.calling_ae_title),
    Column.LOCATION: lambda study: plain(study.facts.location),
    Column.REFERRER: lambda study: plain(study.facts.referrer),
}


def ordered(by_arrival: Sequence[ListedStudy], sort: Sort | None, cutoff_us: int) -> list[ListedStudy]:
    """Return studies by a column, or in reading order (None).

    Args:
        by_arrival: the studies in the order of their arrival.
        sort: the order.
        cutoff_us: arrivals before, in microseconds, are past the waiting cap.
    """
    if sort is None:
        segments: tuple[list[ListedStudy], ...] = ([], [], [], [])
        for study in by_arrival:
            segments[study.segment(cutoff_us)].append(study)
        return [study for segment in segments for study in segment]
    value = _VALUES[sort.column]
    pairs = [(value(study), study) for study in by_arrival]
    known = [pair for pair in pairs if pair[0] not in _MISSING]
    # A sort with ``reverse`` keeps equal studies in their order, which is that of arrival.
    known.sort(key=itemgetter(0), reverse=sort.descending)  # of one type in each column
    return [study for _, study in known] + [study for each, study in pairs if each in _MISSING]


def cursor_behind(study: ListedStudy, sort: Sort | None, as_of_us: int, cutoff_us: int) -> str:
    """Return the cursor of the page behind a study. ``as_of_us``: time of the first page, in microseconds."""
    if sort is None:
        return write_cursor(Position(as_of_us, study.segment(cutoff_us), member(study.decision).encode()))
    return cursor_at(_key(study, sort), sort, as_of_us)


def cursor_at(key: Key, sort: Sort, as_of_us: int) -> str:
    """Return the cursor of the page behind a place in an order by a column."""
    return _write([as_of_us, sort.column, sort.descending, *key])


def as_of(cursor: str | None, sort: Sort | None, now: float) -> int:
    """Return the time of the first page in microseconds: in all pages the same studies are past the cap.

    Raises BadCursorError, also for a cursor of another order.
    """
    if cursor is None:
        return microseconds(now)
    return read_cursor(cursor).as_of_us if sort is None else read_place(cursor, sort)[0]


def is_behind(cursor: str, sort: Sort | None, cutoff_us: int) -> Callable[[ListedStudy], bool]:
    """Return a function that says whether a study comes behind the cursor. Raises BadCursorError."""
    if sort is None:
        start = read_cursor(cursor)
        arrival, _, uid = start.member.decode().partition("|")
        if not arrival.isdecimal():
            raise BadCursorError("not a cursor of this worklist: start again without one")
        place = (start.segment, (int(arrival), uid))
        return lambda study: (study.segment(cutoff_us), study.arrival) > place
    _, last = read_place(cursor, sort)
    return lambda study: _comes_after(_key(study, sort), last, sort.descending)


def _key(study: ListedStudy, sort: Sort) -> Key:
    value = _VALUES[sort.column](study)
    missing = value in _MISSING
    return int(missing), "" if missing or value is None else value, *study.arrival


def _comes_after(key: Key, last: Key, descending: bool) -> bool:
    if key[0] != last[0]:
        return key[0] > last[0]
    if key[1] != last[1]:
        return (key[1] > last[1]) is not descending  # type: ignore[operator]
    return key[2:] > last[2:]


def _write(values: Sequence[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_place(cursor: str, sort: Sort) -> tuple[int, Key]:
    """Return the time of the first page and the place that the cursor of an order names. Raises BadCursorError."""
    wrong = BadCursorError("not a cursor of this order: start again without one")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        as_of_us, column, descending, missing, value, arrival, uid = values
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise wrong from error
    kinds = (type(as_of_us), type(missing), type(arrival), type(uid)) == (int, int, int, str)
    if not kinds or (column, descending) != (sort.column, sort.descending) or not _fits(value, missing, sort):
        raise wrong
    return as_of_us, (missing, value, arrival, uid)


def _fits(value: object, missing: int, sort: Sort) -> bool:
    """Return whether a value can be compared with those of the column."""
    number = sort.column in (Column.TAG, Column.URGENCY, Column.AGE, Column.ACQUIRED, Column.ARRIVED)
    return value == "" if missing else isinstance(value, int | float if number else str)
