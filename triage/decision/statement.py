"""PURE: statements that go out with every value of a study: what it is, what was looked for, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from triage.decision.findings import FindingScore, FindingState, StudyFinding
from triage.decision.types import URGENCY_OF_TAG, TriageDecision

SCOPE = "AI triage, unverified, of the frontal images"
"""Stands before every value of a study that leaves the service."""

_FOUND = (FindingState.PRESENT, FindingState.ABSENT, FindingState.UNDETERMINED)


def statement(decision: TriageDecision) -> tuple[str, ...]:
    """Return sentences in ASCII for a message: scope, urgency, what was looked for, and what was not."""
    urgency = decision.urgency.replace("_", " ")
    return (f"{SCOPE}.", f"Urgency of findings: {urgency}.", *looked_for(decision))


def looked_for(decision: TriageDecision) -> tuple[str, ...]:
    """Return what was looked for with its state, what was not assessed, and that nothing else was looked for."""
    found = [f"{label(each)} ({each.state})" for each in decision.findings if each.state in _FOUND]
    missing = [label(each) for each in decision.findings if each.state not in _FOUND]
    if not decision.findings:
        return ("Looked for: nothing.",)
    sentences = (
        f"Looked for: {', '.join(found) or 'nothing'}." if found or not missing else "",
        f"Not assessed: {', '.join(missing)}." if missing else "",
        "Nothing else was looked for.",
    )
    return tuple(filter(None, sentences))


def label(finding: FindingScore | StudyFinding) -> str:
    """Return the title of a finding, or its name where the title has more than ASCII.

    The characters of a message are those of the study, in which a site's title may have no place.
    """
    return finding.title if is_plain(finding.title) else finding.name.replace("_", " ")


def is_plain(text: str) -> bool:
    """Return True for printable ASCII without a backslash, which stands in every text of a message."""
    return text.isascii() and text.isprintable() and "\\" not in text


def told_findings(decision: TriageDecision) -> list[object]:
    """Return urgency, and name and state of each finding, for ``Channel.content``; empty if the tag says the same.

    So a study of one finding, or of a record before findings, is not delivered anew. No threshold is in it: a changed
    operating point alone delivers nothing anew.
    """
    if len(decision.findings) < 2 and decision.urgency is URGENCY_OF_TAG[decision.tag]:
        return []
    return [decision.urgency, states_of(decision.findings)]


def states_of(findings: Sequence[StudyFinding]) -> list[list[str]]:
    """Return name and state of each finding, by name."""
    return sorted([each.name, str(each.state)] for each in findings)
