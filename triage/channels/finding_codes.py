"""Codes of findings and of their states, as every message has them."""

from __future__ import annotations

from triage.decision.findings import FindingCode, FindingScore, FindingState, StudyFinding
from triage.decision.statement import is_plain, label
from triage.hl7.message_types import SCHEME

STATES = {  # SNOMED CT of CID 240 (PS3.16)
    FindingState.PRESENT: FindingCode("52101004", "SCT", "Present"),
    FindingState.ABSENT: FindingCode("272519000", "SCT", "Absent"),
    FindingState.UNDETERMINED: FindingCode("373068000", "SCT", "Undetermined"),
    FindingState.NOT_ASSESSED: FindingCode("not_assessed", SCHEME, "Not assessed"),
}

_LONGEST_VALUE, _LONGEST_MEANING = 16, 64  # Code Value (0008,0100) is SH, Code Meaning (0008,0104) LO


def own_code(finding: FindingScore | StudyFinding) -> FindingCode:
    """Return our code of a finding: its name in the model's card, with its title."""
    return FindingCode(f"finding.{finding.name}", SCHEME, label(finding)[:_LONGEST_MEANING])


def stated_code(finding: FindingScore | StudyFinding) -> FindingCode | None:
    """Return the card's code of a finding; None if it has none that every message can carry."""
    code = finding.code
    if code is None or code.scheme == SCHEME or not all(map(is_plain, (code.value, code.scheme, code.meaning))):
        return None
    fits = 0 < len(code.value) <= _LONGEST_VALUE and 0 < len(code.meaning) <= _LONGEST_MEANING
    return code if fits else None


def state_on_image(score: FindingScore, *, assessed: bool, of_study: FindingState) -> FindingState:
    """Return the state of a finding on one image: absent only where it is so of the study.

    Args:
        score: Its score on the image.
        assessed: The image was one for the model.
        of_study: Its state in the study.
    """
    if not assessed:
        return FindingState.NOT_ASSESSED
    if score.positive:
        return FindingState.PRESENT
    return FindingState.ABSENT if of_study is FindingState.ABSENT else FindingState.UNDETERMINED
