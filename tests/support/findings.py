"""Images of several findings, as the models of two cards would have scored them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triage.decision.findings import FindingCode, FindingScore, FindingState, StudyFinding
from triage.decision.types import ModelResult, PriorityPolicy, Tag
from triage.decision.urgency import Urgency, UrgencyTable

EFFUSION = FindingCode("60046008", "SCT", "Pleural effusion")
CRITICAL_EFFUSION = PriorityPolicy(
    urgencies=UrgencyTable({"effusion": Urgency.CRITICAL, "nodule": Urgency.NONURGENT, "*": Urgency.URGENT})
)
"""A site's table: effusion critical, nodule nonurgent, the rest urgent."""


def a_score(name: str, probability: float, **changes: Any) -> FindingScore:
    """The score of one finding at 0.5, whose negative means that it is absent."""
    values = {
        "title": name.replace("_", " ").capitalize(),
        "code": EFFUSION if name == "effusion" else None,
        "threshold": 0.5,
        "negative_means_absent": True,
    }
    threshold = changes.get("threshold", 0.5)
    return FindingScore(name=name, probability=probability, positive=probability >= threshold, **{**values, **changes})


def scored(*findings: FindingScore, **changes: Any) -> dict[str, Any]:
    """Values of an assessment whose one model gave these scores."""
    positive = any(each.positive and each.counts for each in findings)
    tag = changes.pop("tag", Tag.ABNORMAL if positive else Tag.NORMAL)
    lead = findings[0].probability
    model = {"model_id": "rsna-adult 2", "model_digest": "d" * 64, "operating_point": findings[0].threshold}
    result = ModelResult(tag=tag, probability=lead, findings=findings, **model, **changes)
    return {"tag": tag, "probability": lead, "results": (result,), **model, **changes}


def a_study_finding(name: str = "effusion", **changes: Any) -> StudyFinding:
    """A finding that is present and urgent."""
    values: dict[str, Any] = {
        "title": name.capitalize(),
        "code": EFFUSION if name == "effusion" else None,
        "state": FindingState.PRESENT,
        "probability": 0.91,
        "threshold": 0.5,
        "counts": True,
        "urgency": Urgency.URGENT,
        "model_id": "rsna-adult 2",
    }
    return StudyFinding(name=name, **{**values, **changes})


def states(findings: Sequence[StudyFinding]) -> dict[str, str]:
    """State of each finding by its name."""
    return {each.name: str(each.state) for each in findings}
