"""Conditions of SQL for a request of the list: its filter, and the texts that it searches. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from triage.spool.tables import Value, storable
from triage.worklist.list_filter import ListFilter
from triage.worklist.patient_match import words
from triage.worklist.query import ListRequest
from triage.worklist.table.grams import LONGEST, grams_in

NUMBERS_BETWEEN = "\n"
"""Separates accession number, calling AE title and study in ``numbers``."""


@dataclass
class Condition:
    """Conditions that all hold, and their values by name."""

    parts: list[str] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """The conditions, each begun with AND."""
        return "".join(f" AND {part}" for part in self.parts)

    def add(self, part: str, **values: Value) -> None:
        """Add a condition."""
        self.parts.append(part)
        self.values.update(values)


def condition_of(request: ListRequest, as_of: float) -> Condition | None:
    """Return the condition of a request at ``as_of`` (POSIX seconds); None if no study can meet it."""
    made = Condition()
    _filter(made, request.filter, as_of)
    if request.patient:
        by_patient = words(request.patient)
        if not by_patient or not all(map(_can_be_stored, by_patient)):
            return None
        made.add(_patient(made, "patient", by_patient))
    if request.number:
        if not _is_number(request.number):
            return None
        made.add(_number(made, "number", request.number.lower()))
    if request.text:
        either = _text(made, request.text)
        if not either:
            return None
        made.add(f"({' OR '.join(either)})")
    return made


def _filter(made: Condition, wanted: ListFilter, as_of: float) -> None:
    for column, values in (("tag", wanted.tags), ("urgency", wanted.urgencies), ("calling_ae_title", wanted.senders)):
        if values:
            made.add(f"{column} = ANY(CAST(:of_{column} AS text[]))", **{f"of_{column}": _texts(values)})
    if wanted.views:
        made.add("views && CAST(:of_views AS text[])", of_views=_texts(wanted.views))
    for name, sign, years in (("age_from", ">=", wanted.age_from), ("age_to", "<=", wanted.age_to)):
        if years is not None:
            made.add(f"(age_years IS NULL OR age_years {sign} CAST(:{name} AS float8))", **{name: years})
    if wanted.arrived_within_s is not None:
        made.add("received_at >= CAST(:since AS float8)", since=as_of - wanted.arrived_within_s)


def _text(made: Condition, text: str) -> list[str]:
    """Return the conditions of which one has to hold: of the patient, or of a number."""
    found, by_text = [], words(text)
    if by_text and all(map(_can_be_stored, by_text)):
        found.append(_patient(made, "text", by_text))
    if _is_number(text):
        found.append(_number(made, "text_number", text.lower()))
    return found


def _patient(made: Condition, name: str, wanted: tuple[str, ...]) -> str:
    made.values[f"{name}_grams"] = grams_in(wanted)
    parts = [f"patient_grams @> CAST(:{name}_grams AS text[])"]
    for number, word in enumerate(wanted):
        made.values[f"{name}_{number}"] = word
        parts.append(f"strpos(searchable, CAST(:{name}_{number} AS text)) > 0")
    return f"({' AND '.join(parts)})"


def _number(made: Condition, name: str, text: str) -> str:
    made.values[name] = text
    contains = f"strpos(numbers, CAST(:{name} AS text)) > 0"
    if not (grams := grams_in([text], LONGEST)):  # too short for the index
        return contains
    made.values[f"{name}_grams"] = grams
    return f"(number_grams @> CAST(:{name}_grams AS text[]) AND {contains})"


def _texts(values: frozenset[str]) -> list[str]:
    return sorted(storable(str(each)) for each in values)


def _can_be_stored(text: str) -> bool:
    return storable(text) == text


def _is_number(text: str) -> bool:
    return _can_be_stored(text) and NUMBERS_BETWEEN not in text
