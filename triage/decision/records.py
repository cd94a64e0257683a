"""Assessments and decisions as JSON objects, as the spool and the index store them. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from triage.decision.findings import FindingCode, FindingScore, FindingState, StudyFinding
from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.rejection_note import RejectionNote
from triage.decision.types import (
    ActivationMap,
    ImageAssessment,
    ModelResult,
    Priority,
    ShadowScore,
    Tag,
    TriageDecision,
)
from triage.decision.urgency import Urgency

Record = dict[str, Any]
"""A JSON object as it is stored; its values are checked by the functions that read it."""

_YEAR_10000 = 253402300800.0  # in POSIX seconds; ISO 8601 has no later time
_OLD_SHADOW_SCORES = "beside"  # the key of releases before 0.2.0; read until 0.3.0
_LARGEST_COUNT = 2**53
_SURROGATES = re.compile("[\ud800-\udfff]")  # half a character: no UTF-8


def to_record(value: ImageAssessment | TriageDecision) -> Record:
    """Return a JSON object with the fields of ``value``."""
    record: Record = _plain(value)
    return record


def _plain(value: Any) -> Any:
    """Return what ``dataclasses.asdict`` returns, in a third of its time: values cannot change, so none is copied."""
    kind = value.__class__
    if hasattr(kind, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in _names(kind)}
    if kind is tuple or kind is list:
        return kind(map(_plain, value))
    if kind is dict:
        return {name: _plain(each) for name, each in value.items()}
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def assessment_from(record: Record) -> ImageAssessment:
    """Return the assessment in ``record``. Fields that a later release added are ignored.

    Raises ValueError, KeyError or TypeError for a record that no assessment can have.
    """
    known = _known(ImageAssessment, record)
    known["tag"] = Tag(known["tag"])
    known["reasons"] = tuple(Reason(reason) for reason in known["reasons"])
    shadows = record.get("shadow_scores") or record.get(_OLD_SHADOW_SCORES) or ()
    known["shadow_scores"] = tuple(_shadow_score_from(each) for each in shadows)
    if (activation_map := known.get("activation_map")) is not None:
        known["activation_map"] = _map_from(activation_map)
    known["patient"] = PatientMarks.from_record(known.get("patient") or {})
    known["results"] = tuple(_model_result_from(each) for each in known.get("results") or ())
    if (note := known.get("rejection")) is not None:
        known["rejection"] = RejectionNote.from_record(note)
    return ImageAssessment(**known)


def _map_from(record: Record) -> ActivationMap:
    known = _known(ActivationMap, record)
    if (seen := known.get("seen")) is not None:
        known["seen"] = tuple(seen)
    return ActivationMap(**known)


def _shadow_score_from(record: Record) -> ShadowScore:
    known = _known(ShadowScore, record)
    known["tag"] = Tag(known["tag"])
    known["reasons"] = tuple(Reason(reason) for reason in known["reasons"])
    return ShadowScore(**known)


def _model_result_from(record: Record) -> ModelResult:
    known = _known(ModelResult, record)
    known["tag"] = Tag(known["tag"])
    known["reasons"] = tuple(Reason(reason) for reason in known.get("reasons") or ())
    known["findings"] = tuple(_finding_score_from(each) for each in known.get("findings") or ())
    return ModelResult(**known)


def _finding_score_from(record: Record) -> FindingScore:
    known = _known(FindingScore, record)
    known["code"] = _code_from(known.get("code"))
    return FindingScore(**known)


def _code_from(record: Record | None) -> FindingCode | None:
    if record is None:
        return None
    code = FindingCode(**_known(FindingCode, record))
    if not all(_is_a(text, str) for text in (code.value, code.scheme, code.meaning)):
        raise ValueError("a code whose parts are no text")
    return code


def decision_from(record: Record) -> TriageDecision:
    """Return the decision in ``record``. Fields that a later release added are ignored.

    Raises ValueError, KeyError or TypeError for a record that no decision can have: a text for a time, NaN.
    """
    known = _known(TriageDecision, record)
    known["tag"] = Tag(known["tag"])
    known["priority"] = Priority(known["priority"])
    known["reasons"] = tuple(Reason(reason) for reason in _list(known["reasons"]))
    known["evidence"] = tuple(_list(known["evidence"]))
    known["findings"] = tuple(_study_finding_from(each) for each in _list(known.get("findings", ())))
    known["urgency"] = Urgency(known.get("urgency", Urgency.NOT_ASSESSED))
    if (order := known.get("order_priority")) is not None:
        known["order_priority"] = Priority(order)
    wrong = [name for name, hint in _hints(TriageDecision) if name in known and not _is_a(known[name], hint)]
    decision = TriageDecision(**known)
    times = (decision.received_at, decision.tagged_at)
    if wrong or not all(0 <= each < _YEAR_10000 for each in times) or not 0 <= (decision.probability or 0) <= 1:
        raise ValueError("a value that no decision has")
    return decision


def _study_finding_from(record: Record) -> StudyFinding:
    known = _known(StudyFinding, record)
    known["code"] = _code_from(known.get("code"))
    known["state"], known["urgency"] = FindingState(known["state"]), Urgency(known["urgency"])
    known["images"] = tuple(_list(known.get("images", ())))
    if any(name in known and not _is_a(known[name], hint) for name, hint in _hints(StudyFinding)):
        raise ValueError("a value that no finding has")
    return StudyFinding(**known)


@cache
def _hints(kind: type[StudyFinding | TriageDecision]) -> tuple[tuple[str, object], ...]:
    return tuple(get_type_hints(kind).items())


def _list(value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list is expected")
    return list(value)


def _is_a(value: object, hint: object) -> bool:
    """Return whether a value matches a field's annotation, and can be written as JSON in UTF-8."""
    if get_origin(hint) is UnionType:
        return any(_is_a(value, each) for each in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_a(each, get_args(hint)[0]) for each in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_COUNT
    if hint is str:
        return isinstance(value, str) and (value.isascii() or not _SURROGATES.search(value))
    return type(value) is hint  # an enumeration's member, a truth value, None


_Recorded = (
    ActivationMap
    | FindingCode
    | FindingScore
    | ImageAssessment
    | ModelResult
    | ShadowScore
    | StudyFinding
    | TriageDecision
)


def _known(kind: type[_Recorded], record: Record) -> Record:
    if not isinstance(record, dict):
        raise TypeError("an object is expected")
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in record.items() if name in names}
