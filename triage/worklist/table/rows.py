"""The rows of the list: what is read of a study, and what is written of it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

from triage.decision.records import decision_from
from triage.decision.types import TriageDecision
from triage.spool.tables import Row, Value, storable
from triage.worklist.listed_study import ListedStudy
from triage.worklist.patient_match import plain
from triage.worklist.study_facts import StudyFacts
from triage.worklist.table.conditions import NUMBERS_BETWEEN
from triage.worklist.table.grams import LONGEST, grams_of

FACTS = tuple(each.name for each in fields(StudyFacts))
"""The columns of a study's facts, named as these are."""
_LONGEST_KEY = 200
"""Characters of a text by which the list is sorted: an index takes no longer ones."""


@dataclass(frozen=True)
class FoundRow:
    """A row of the list: the study (None: its decision is of another release), and its place in the list's orders.

    ``key`` is the value by which the list is sorted, None where it has none.
    """

    study_instance_uid: str
    rank: int
    arrival: int
    study: ListedStudy | None
    key: str | float | None = None


def found_row(row: Row) -> FoundRow:
    """Return the row of ``study_uid, rank, arrival, key, decision`` and the facts."""
    uid, rank, arrival, key, decision, *facts = row
    known = decision_in(decision)
    study = None if known is None else ListedStudy(known, StudyFacts(**dict(zip(FACTS, facts, strict=True))))  # type: ignore[arg-type]
    return FoundRow(str(uid), int(str(rank)), int(str(arrival)), study, key)  # type: ignore[arg-type]


def decision_in(content: object) -> TriageDecision | None:
    """Return the decision in a column; None for one that cannot be read."""
    try:
        return decision_from(json.loads(str(content)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def facts_columns(facts: StudyFacts, issuer: str, decision: TriageDecision) -> dict[str, Value]:
    """Return the columns that a study's facts fill: as they are shown, sorted and searched.

    ``issuer``: that of its Patient ID, as a text.
    """
    stated = {name: _stored(getattr(facts, name)) for name in FACTS}
    uid, sender = decision.study_instance_uid, decision.calling_ae_title
    numbers = NUMBERS_BETWEEN.join(_stored_text(each.lower()) for each in (decision.accession_number, sender, uid))
    return {
        **stated,
        "patient_id_issuer": storable(issuer),
        "views": [_stored_text(each) for each in facts.view.split(", ") if each],
        "numbers": numbers,
        "name_key": _key(plain(facts.patient_name)),
        "id_key": _key(plain(facts.patient_id)),
        "sex_key": _key(facts.sex),
        "description_key": _key(plain(facts.study_description)),
        "view_key": _key(facts.view),
        "accession_key": _key(plain(decision.accession_number)),
        "sender_key": _key(plain(sender)),
        "location_key": _key(plain(facts.location)),
        "referrer_key": _key(plain(facts.referrer)),
        "patient_grams": grams_of(_stored_text(facts.searchable)),
        "number_grams": grams_of(numbers, LONGEST),
    }


def _stored(value: str | float | None) -> str | float | None:
    return storable(value) if isinstance(value, str) else value


def _stored_text(text: str) -> str:
    return storable(text)


def _key(text: str) -> str | None:
    """Return a text to sort by; None for an empty one."""
    return storable(text)[:_LONGEST_KEY] or None
