"""Assessments and decisions as the JSON objects that lie in the spool and in the index."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.types import ActivationMap, ImageAssessment, Priority, ShadowScore, Tag, TriageDecision


def to_record(value: ImageAssessment | TriageDecision) -> dict[str, Any]:
    """A JSON object with the fields of ``value``."""
    return asdict(value)


def assessment_from(record: dict[str, Any]) -> ImageAssessment:
    """The assessment in ``record``. Fields that a later release added are passed over."""
    known = _known(ImageAssessment, record)
    known["tag"] = Tag(known["tag"])
    known["reasons"] = tuple(Reason(reason) for reason in known["reasons"])
    known["beside"] = tuple(_shadow_score_from(each) for each in known.get("beside", ()))
    if (kept := known.get("activation_map")) is not None:
        known["activation_map"] = _map_from(kept)
    known["patient"] = PatientMarks.from_record(known.get("patient") or {})
    return ImageAssessment(**known)


def _map_from(record: dict[str, Any]) -> ActivationMap:
    known = _known(ActivationMap, record)
    if (seen := known.get("seen")) is not None:
        known["seen"] = tuple(seen)
    return ActivationMap(**known)


def _shadow_score_from(record: dict[str, Any]) -> ShadowScore:
    known = _known(ShadowScore, record)
    known["tag"] = Tag(known["tag"])
    known["reasons"] = tuple(Reason(reason) for reason in known["reasons"])
    return ShadowScore(**known)


def decision_from(record: dict[str, Any]) -> TriageDecision:
    """The decision in ``record``. Fields that a later release added are passed over."""
    known = _known(TriageDecision, record)
    known["tag"] = Tag(known["tag"])
    known["priority"] = Priority(known["priority"])
    known["reasons"] = tuple(Reason(reason) for reason in known["reasons"])
    known["evidence"] = tuple(known["evidence"])
    return TriageDecision(**known)


def _known(
    kind: type[ActivationMap | ImageAssessment | ShadowScore | TriageDecision], record: dict[str, Any]
) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in record.items() if name in names}
