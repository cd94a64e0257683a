"""The list as pages, orders, filters and searches of the table: each page is a range of an index, at any depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import cast

from triage.spool.tables import Tables, Value, storable
from triage.worklist import list_order
from triage.worklist.index_keys import microseconds
from triage.worklist.index_state import FirstToRead
from triage.worklist.list_order import Key, Sort
from triage.worklist.listed_study import ListedStudy
from triage.worklist.page import BadCursorError, Position, read_cursor, write_cursor
from triage.worklist.query import Choices, ListPage, ListRequest
from triage.worklist.table.conditions import Condition, condition_of
from triage.worklist.table.kept_numbers import Counts, KeptNumbers
from triage.worklist.table.rows import FACTS, FoundRow, found_row
from triage.worklist.table.segments import COLUMNS, ReadingPlace, Segment, below, by_column, group_of, in_reading_order

_HERE = "l.tenant = :tenant AND l.partition = :partition"
_SHOWN = ", ".join(("study_uid", "rank", "arrival", "{key} AS sorted_by"))
_OF_FACTS = ", ".join(f"l.{name}" for name in FACTS)
# The rows of a page first, and their decisions then: of no other row is the decision read.
_PAGE = f"""
SELECT l.study_uid, l.rank, l.arrival, l.sorted_by, s.decision, {_OF_FACTS} FROM (
  SELECT tenant, partition, {_SHOWN}, {", ".join(FACTS)} FROM listed_study
  WHERE tenant = :tenant AND partition = :partition AND unread AND {{where}} ORDER BY {{order}}
  LIMIT CAST(:limit AS int)
) l JOIN study s USING (tenant, partition, study_uid) ORDER BY {{outer_order}}
"""
_READ = f"""
SELECT l.study_uid, l.rank, l.arrival, NULL, s.decision, {_OF_FACTS} FROM (
  SELECT * FROM listed_study WHERE tenant = :tenant AND partition = :partition AND NOT unread AND NOT silent
  ORDER BY read_at DESC, study_uid DESC LIMIT CAST(:limit AS int)
) l JOIN study s USING (tenant, partition, study_uid) ORDER BY l.read_at DESC, l.study_uid DESC
"""
_COUNTS = """
SELECT count(*), count(*) FILTER (WHERE rank = 1)
FROM listed_study WHERE tenant = :tenant AND partition = :partition AND unread{where}
"""
_PAST_CAP = """
SELECT count(*) FROM listed_study WHERE tenant = :tenant AND partition = :partition AND unread
AND arrival < CAST(:cutoff AS bigint) AND rank > 1{where}
"""
_INCOMPLETE = """
SELECT 1 FROM listed_study WHERE tenant = :tenant AND partition = :partition AND NOT complete LIMIT 1
"""
_SENDERS = f"SELECT DISTINCT calling_ae_title FROM listed_study l WHERE {_HERE} AND unread"
_VIEWS = f"SELECT DISTINCT unnest(views) FROM listed_study l WHERE {_HERE} AND unread"
_NEXT_VALUE = """
SELECT {column} FROM listed_study WHERE tenant = :tenant AND partition = :partition AND unread AND {where}
ORDER BY {column} DESC LIMIT 1
"""
_GROUPS = 4
_LARGEST = 2**62  # of a whole number in a column


@dataclass(frozen=True)
class TableMoment:
    """Time of a list's first page, and arrivals before which studies are past the cap (0: no cap), in microseconds."""

    as_of_us: int
    cutoff_us: int

    @property
    def as_of(self) -> float:
        """The time in POSIX seconds."""
        return self.as_of_us / 1_000_000


@dataclass(frozen=True)
class FoundStudies:
    """The studies of a page, and the cursor of the next one.

    ``is_readable``: False if the decision of a study is of another release, and left out.
    """

    studies: tuple[ListedStudy, ...]
    next_cursor: str | None
    is_readable: bool


class TableQuery:
    """A ``WorklistQuery``. ``waiting_cap_s``: waiting cap in seconds, 0 for none. Safe to share between threads."""

    def __init__(self, tables: Tables, waiting_cap_s: float) -> None:
        self._tables = tables
        self._waiting_cap_s = waiting_cap_s
        self._numbers = KeptNumbers(tables)

    def page(self, request: ListRequest, now: float) -> ListPage:
        """Return a page of the unread studies at ``now`` (POSIX seconds). Raises BadCursorError, OSError."""
        moment = self._moment(request, now)
        found = self._found(request, moment)
        matching, first = self._counted(condition_of(request, moment.as_of), moment.cutoff_us)
        whole = first if request.is_whole_list else self._counted(Condition(), moment.cutoff_us)[1]
        return ListPage(
            found.studies,
            found.next_cursor,
            complete=found.is_readable and self.is_complete(),
            matching=matching,
            first=whole,
            outside=whole.without(first),
        )

    def studies(self, request: ListRequest, now: float) -> FoundStudies:
        """Return the studies of a page, without numbers of the list. Raises BadCursorError, OSError."""
        return self._found(request, self._moment(request, now))

    def last_read(self, limit: int) -> tuple[ListedStudy, ...]:
        """Return the studies that were read last, the last one first. Raises OSError."""
        rows = map(found_row, self._tables.read(_READ, limit=limit))
        return tuple(each.study for each in rows if each.study is not None)

    def choices(self) -> Choices:
        """Return what the unread studies can be filtered by. Raises OSError."""
        return Choices(self._distinct(_SENDERS), self._distinct(_VIEWS))

    def follow(self, stopping: Event) -> None:
        """Return: nothing of the list is in memory."""

    def is_complete(self) -> bool:
        """Return whether all rows have the facts of their objects and the acts of their logs. Raises OSError."""
        return not self._tables.read(_INCOMPLETE)

    def _moment(self, request: ListRequest, now: float) -> TableMoment:
        as_of_us = _within(list_order.as_of(request.cursor, request.sort, now))
        return TableMoment(as_of_us, as_of_us - microseconds(self._waiting_cap_s) if self._waiting_cap_s else 0)

    def _found(self, request: ListRequest, moment: TableMoment) -> FoundStudies:
        segments = _segments(request, moment.cutoff_us)
        condition = condition_of(request, moment.as_of)
        found = [] if condition is None else self._rows(segments, request, condition)
        shown = found[: request.limit]
        studies = tuple(each.study for each in shown if each.study is not None)
        cursor = _cursor(shown[-1], request.sort, moment) if len(found) > request.limit else None
        return FoundStudies(studies, cursor, len(studies) == len(shown))

    def _rows(self, segments: list[Segment], request: ListRequest, condition: Condition) -> list[FoundRow]:
        found: list[FoundRow] = []
        for segment in self._in_groups(segments):
            wanted = request.limit + 1 - len(found)
            if wanted <= 0:
                break
            key = COLUMNS[request.sort.column] if request.sort else "NULL"
            outer = segment.order.replace(key, "sorted_by") if request.sort else segment.order
            sql = _PAGE.format(
                key=key,
                where=segment.where + condition.sql,
                order=segment.order,
                outer_order=", ".join(f"l.{each}" for each in outer.split(", ")),
            )
            rows = self._tables.read(sql, limit=wanted, **condition.values, **segment.values)
            found += map(found_row, rows)
        return found

    def _in_groups(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield the parts; the first values of one that can be read in groups as parts of their own.

        Where many studies have one value, such a part is a range of the index; where few have, so is what is left.
        """
        for segment in segments:
            for _ in range(_GROUPS if segment.grouped else 0):
                sql = _NEXT_VALUE.format(column=segment.grouped, where=segment.where)
                found = self._tables.read(sql, **segment.values)
                if not found:
                    break
                value = cast("Value", found[0][0])
                yield group_of(segment.grouped, value)
                segment = below(segment, value)
            yield segment

    def _counted(self, condition: Condition | None, cutoff_us: int) -> tuple[int, FirstToRead]:
        """Return the numbers of the studies that meet a condition: all of them, and those that come first."""
        if condition is None:
            return 0, FirstToRead()
        where, values = condition.sql, condition.values
        what = repr((where, sorted(values.items())))
        matching, high = self._numbers.of(what, lambda: self._count(_COUNTS, where, values))
        past_cap = self._count(_PAST_CAP, where, {**values, "cutoff": cutoff_us})[0] if cutoff_us > 0 else 0
        return matching, FirstToRead(high, past_cap)

    def _count(self, sql: str, where: str, values: dict[str, Value]) -> Counts:
        (row,) = self._tables.read(sql.format(where=where), **values)
        return tuple(int(str(number)) for number in row)

    def _distinct(self, sql: str) -> tuple[str, ...]:
        return tuple(sorted({str(value) for (value,) in self._tables.read(sql)} - {""}))


def _segments(request: ListRequest, cutoff_us: int) -> list[Segment]:
    """Return the parts of the list that are behind the cursor. Raises BadCursorError."""
    if request.sort is None:
        place = None if request.cursor is None else _reading_place(read_cursor(request.cursor))
        return in_reading_order(cutoff_us, place)
    if request.cursor is None:
        return by_column(request.sort, None)
    return by_column(request.sort, _checked(list_order.read_place(request.cursor, request.sort)[1]))


def _reading_place(position: Position) -> ReadingPlace:
    arrival, _, uid = position.member.decode().partition("|")
    if not arrival.isdecimal():
        raise _bad_cursor()
    return ReadingPlace(position.segment, _within(int(arrival)), _text(uid))


def _checked(key: Key) -> Key:
    """Return the place in an order, of values that the columns can have. Raises BadCursorError."""
    missing, value, arrival, uid = key
    try:
        value = _text(value) if isinstance(value, str) else float(value)
    except OverflowError as error:
        raise _bad_cursor() from error
    return missing, value, _within(arrival), _text(uid)


def _within(number: int) -> int:
    if not -_LARGEST < number < _LARGEST:
        raise _bad_cursor()
    return number


def _text(text: str) -> str:
    if storable(text) != text:
        raise _bad_cursor()
    return text


def _bad_cursor() -> BadCursorError:
    return BadCursorError("not a cursor of this worklist: start again without one")


def _cursor(row: FoundRow, sort: Sort | None, moment: TableMoment) -> str:
    if sort is None:
        part = 0 if row.arrival < moment.cutoff_us else row.rank
        return write_cursor(Position(moment.as_of_us, part, f"{row.arrival:016d}|{row.study_instance_uid}".encode()))
    value = "" if row.key is None else row.key
    return list_order.cursor_at(
        (int(row.key is None), value, row.arrival, row.study_instance_uid), sort, moment.as_of_us
    )
