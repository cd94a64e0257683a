"""OBX and NTE of a study: one OBX for each value, joined by OBX-4, behind notes that say what the values are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from triage.channels.finding_codes import STATES, own_code, stated_code
from triage.decision.findings import FindingCode, FindingState, StudyFinding
from triage.decision.statement import statement
from triage.decision.types import Tag, TriageDecision
from triage.hl7.message_types import SCHEME
from triage.hl7.text import Encoded, components, escape, segment

LONGEST = 199
"""Characters of an ST in OBX-5 and of EI.1 (v2.5.1 appendix 2.A)."""

_ABNORMAL_FLAGS = {Tag.ABNORMAL: "A", Tag.NORMAL: "N", Tag.NOT_ASSESSED: ""}
_STATE_FLAGS = {FindingState.PRESENT: "A", FindingState.ABSENT: "N"}  # never AA, by which a RIS calls people


@dataclass(frozen=True)
class Observation:
    """One OBX: type, identifier, value, abnormal flag (OBX-8) and sub-ID (OBX-4) of something said of the study."""

    kind: str
    identifier: str
    value: str
    flag: str = ""
    sub_id: str = ""


def notes(decision: TriageDecision) -> Iterator[Encoded]:
    """Yield the NTE segments that follow OBR: scope, urgency, what was looked for, and what was not."""
    for number, sentence in enumerate(statement(decision), 1):
        yield segment("NTE", {1: str(number), 2: "L", 3: sentence})


def observations(decision: TriageDecision) -> Iterator[Observation]:
    """Yield what is said of a study. A sub-ID (OBX-4) is that of one reason, or of one finding with all its values."""
    yield Observation("CWE", _ours("tag", "Triage tag"), _coded(decision.tag), flag=_ABNORMAL_FLAGS[decision.tag])
    if decision.probability is not None:
        yield Observation("NM", _ours("probability", "Probability of abnormality"), _number(decision.probability))
    for number, reason in enumerate(decision.reasons, 1):
        yield Observation("CWE", _ours("reason", "Reason"), _coded(reason), sub_id=str(number))
    if decision.model_id:
        yield Observation("ST", _ours("model", "Model"), escape(decision.model_id, LONGEST))
    yield Observation("ST", components("110180", "Study Instance UID", "DCM"), decision.study_instance_uid)
    if decision.findings:
        yield Observation("CWE", _ours("urgency", "Urgency of findings"), _coded(decision.urgency))
    for number, finding in enumerate(decision.findings, len(decision.reasons) + 1):
        yield from _of_finding(finding, str(number))


def _of_finding(finding: StudyFinding, sub_id: str) -> Iterator[Observation]:
    flag = _STATE_FLAGS.get(finding.state, "")
    yield Observation("CWE", _named(finding), components(*_parts(STATES[finding.state])), flag, sub_id)
    if finding.probability is not None:
        score = _ours("finding_score", "Highest score of the finding")
        yield Observation("NM", score, _number(finding.probability), sub_id=sub_id)
    if finding.threshold is not None:
        point = _ours("finding_operating_point", "Operating point of the finding")
        yield Observation("NM", point, _number(finding.threshold), sub_id=sub_id)
    if finding.state is FindingState.PRESENT and finding.counts:  # another one gives the study no urgency
        urgency = _ours("finding_urgency", "Urgency of the finding")
        yield Observation("CWE", urgency, _coded(finding.urgency), sub_id=sub_id)
    model = _ours("finding_model", "Model of the finding")
    yield Observation("ST", model, escape(finding.model_id, LONGEST), sub_id=sub_id)


def _named(finding: StudyFinding) -> Encoded:
    """Return the identifier of a finding: its code, if it has one, and our name of it."""
    codes = filter(None, (stated_code(finding), own_code(finding)))
    return components(*(part for code in codes for part in _parts(code)))


def _parts(code: FindingCode) -> tuple[str, str, str]:
    return code.value, code.meaning, code.scheme


def _ours(code: str, meaning: str) -> Encoded:
    return components(code, meaning, SCHEME)


def _coded(value: str) -> Encoded:
    return _ours(value, value.replace("_", " ").capitalize())


def _number(value: float) -> str:
    return f"{value:.6g}"
