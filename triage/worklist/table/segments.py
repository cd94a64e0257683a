"""The parts of an order of the list, each a range of one index, and where a page begins in them. Pure.

A page is read from one part after the other until it is full, so that its cost does not grow with its depth.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from triage.spool.tables import Value
from triage.worklist.list_order import Column, Key, Sort

COLUMNS = {
    Column.TAG: "tag_order",
    Column.URGENCY: "urgency_order",
    Column.PATIENT_NAME: "name_key",
    Column.PATIENT_ID: "id_key",
    Column.AGE: "age_years",
    Column.SEX: "sex_key",
    Column.STUDY_DESCRIPTION: "description_key",
    Column.VIEW: "view_key",
    Column.ACQUIRED: "acquired_at",
    Column.ARRIVED: "received_at",
    Column.ACCESSION: "accession_key",
    Column.SENDER: "sender_key",
    Column.LOCATION: "location_key",
    Column.REFERRER: "referrer_key",
}
"""The column of the table by which the list is sorted; NULL where a study has no value."""
_NUMBERS = ("tag_order", "urgency_order", "age_years", "acquired_at", "received_at")

_BEHIND = "(arrival, study_uid) > (CAST(:arrival AS bigint), CAST(:after AS text))"
_BY_ARRIVAL = "arrival, study_uid"
_LATE = "arrival < CAST(:cutoff AS bigint)"
_IN_TIME = "rank = CAST(:rank AS smallint) AND arrival >= CAST(:cutoff AS bigint)"
_RANKS = (1, 2, 3)


@dataclass(frozen=True)
class Segment:
    """One part of an order: a condition with its values, and the order of its rows.

    ``grouped``: the column by whose values, from the greatest down, its rows can be read in groups; each group is a
    range of an index, which this order is not: values fall in it, and arrivals of one value rise.
    """

    where: str
    order: str
    values: dict[str, Value] = field(default_factory=dict)
    grouped: str = ""


@dataclass(frozen=True)
class ReadingPlace:
    """A place in reading order: the part (0: past the waiting cap, 1 to 3: by priority), arrival and study."""

    part: int
    arrival: int
    study: str


def in_reading_order(cutoff_us: int, last: ReadingPlace | None) -> list[Segment]:
    """Return the parts of the reading order behind ``last``. ``cutoff_us``: earlier arrivals are past the cap; 0: none.

    Arrivals are in microseconds.
    """
    parts: list[tuple[int, str, dict[str, Value]]] = [(0, _LATE, {"cutoff": cutoff_us})] if cutoff_us > 0 else []
    parts += [(rank, _IN_TIME, {"cutoff": cutoff_us, "rank": rank}) for rank in _RANKS]
    found = []
    for part, where, values in parts:
        if last is None or part > last.part:
            found.append(Segment(where, _BY_ARRIVAL, dict(values)))
        elif part == last.part:
            behind = {**values, "arrival": last.arrival, "after": last.study}
            found.append(Segment(f"{where} AND {_BEHIND}", _BY_ARRIVAL, behind))
    return found


def by_column(sort: Sort, last: Key | None) -> list[Segment]:
    """Return the parts of an order by a column behind ``last``: those with a value, then those without."""
    column = COLUMNS[sort.column]
    unknown = Segment(f"{column} IS NULL", f"{column}, {_BY_ARRIVAL}")
    if last is None:
        known = f"{column} IS NOT NULL"
        return [Segment(known, _order(column, sort), grouped=column if sort.descending else ""), unknown]
    missing, value, arrival, study = last
    place: dict[str, Value] = {"arrival": arrival, "after": study}
    if missing:
        return [Segment(f"{unknown.where} AND {_BEHIND}", unknown.order, place)]
    of_value = _cast(column)
    if not sort.descending:
        where = f"({column}, arrival, study_uid) > ({of_value}, CAST(:arrival AS bigint), CAST(:after AS text))"
        return [Segment(where, _order(column, sort), {**place, "value": value}), unknown]
    return [
        Segment(f"{column} = {of_value} AND {_BEHIND}", _BY_ARRIVAL, {**place, "value": value}),
        Segment(f"{column} < {of_value}", _order(column, sort), {"value": value}, grouped=column),
        unknown,
    ]


def group_of(column: str, value: Value) -> Segment:
    """Return the part of an order that has one value."""
    return Segment(f"{column} = {_cast(column)}", _BY_ARRIVAL, {"value": value})


def below(segment: Segment, value: Value) -> Segment:
    """Return what is left of a part that is read in groups, below a value."""
    return replace(segment, where=f"{segment.grouped} < {_cast(segment.grouped)}", values={"value": value})


def _cast(column: str) -> str:
    return f"CAST(:value AS {'float8' if column in _NUMBERS else 'text'})"


def _order(column: str, sort: Sort) -> str:
    return f"{column} {'DESC' if sort.descending else 'ASC'}, {_BY_ARRIVAL}"
