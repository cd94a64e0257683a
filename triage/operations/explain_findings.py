"""PURE: the findings of a study and of an image, as `triage explain` shows them."""

from __future__ import annotations

from collections.abc import Iterator

from triage.decision.findings import FindingScore, StudyFinding
from triage.decision.statement import SCOPE, looked_for
from triage.decision.types import ImageAssessment, ModelResult, TriageDecision


def findings_of_study(decision: TriageDecision) -> Iterator[str]:
    """Yield what the values are, the state of each finding, and what was looked for; nothing without findings."""
    if not decision.findings:
        return
    yield f"{SCOPE}."
    for finding in decision.findings:
        yield f"{finding.title} ({finding.name}): {_stated(finding)}"
    yield from looked_for(decision)


def findings_of_image(image: ImageAssessment) -> Iterator[tuple[str, str]]:
    """Yield a line for each finding of each model that scored the image, and for each that did not run."""
    for result in image.results:
        for finding in result.findings:
            yield "finding", _on_image(finding, result)
        if not result.findings:
            reasons = ", ".join(result.reasons) or "no reason recorded"
            yield "no finding", f"{result.model_id} did not assess it: {reasons}"


def _stated(finding: StudyFinding) -> str:
    state = finding.state.replace("_", " ")
    if finding.probability is None or finding.threshold is None:
        return f"{state}, by {finding.model_id}"
    urgency = finding.urgency.replace("_", " ") if finding.counts else "does not count"
    judged = _judged(finding.probability, finding.threshold, finding.point)
    return f"{state}, {urgency}; {judged}, by {finding.model_id}"


def _on_image(finding: FindingScore, result: ModelResult) -> str:
    judged = _judged(finding.probability, finding.threshold, finding.point)
    verdict = "positive" if finding.positive else "negative"
    used = verdict if result.assessed else f"not used ({', '.join(result.reasons)})"
    counts = "" if finding.counts else ", does not count"
    return f"{finding.name} {judged}: {used}{counts}; {result.model_id}"


def _judged(probability: float, threshold: float, point: str) -> str:
    whose = f"operating point {point} of the site" if point else "the card's operating point"
    return f"{probability:.4f}, positive from {threshold:.4g} ({whose})"
