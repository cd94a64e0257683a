"""Content items of findings: TID 1501 for each image, and the study's own behind what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from triage.channels.finding_codes import STATES, own_code, state_on_image, stated_code
from triage.decision.findings import FindingCode, FindingScore, FindingState, StudyFinding
from triage.decision.statement import is_plain
from triage.decision.types import ModelResult, TriageDecision
from triage.dicom.uid import uid_of
from triage.hl7.message_types import SCHEME
from triage.spool.study import StudyImage, referenced

_SCORE = Code("finding_score", SCHEME, "Score of the finding")
_OPERATING_POINT = Code("finding_operating_point", SCHEME, "Operating point of the finding")
_URGENCY = Code("urgency", SCHEME, "Urgency of findings")


def comments(sentences: Sequence[str]) -> Iterator[sr.ContentItem]:
    """Yield a TEXT item for each sentence."""
    for sentence in sentences:
        yield sr.TextContentItem(codes.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS)


def finding_evaluations(decision: TriageDecision) -> Iterator[sr.ContentItem]:
    """Yield the urgency of a study and the state of each of its findings."""
    urgency = Code(decision.urgency, SCHEME, decision.urgency.replace("_", " ").capitalize())
    yield from sr.QualitativeEvaluation(_URGENCY, urgency)
    for finding in decision.findings:
        yield from sr.QualitativeEvaluation(_name(finding), _code(STATES[finding.state]))


def finding_groups(
    image: StudyImage, number: int, states: Mapping[str, FindingState]
) -> Iterator[sr.MeasurementsAndQualitativeEvaluations]:
    """Yield TID 1501 for each finding of an image: its state, its score and its operating point there.

    Args:
        image: The image.
        number: Its number in the report.
        states: State of each finding in the study.
    """
    for result in image.assessment.results:
        for finding in () if result.shadow else result.findings:
            of_study = states.get(finding.name, FindingState.NOT_ASSESSED)
            state = state_on_image(finding, assessed=result.assessed, of_study=of_study)
            yield _group(image, f"image {number}, {finding.name}", result, finding, state)


def _group(
    image: StudyImage, tracking: str, result: ModelResult, finding: FindingScore, state: FindingState
) -> sr.MeasurementsAndQualitativeEvaluations:
    assessment, algorithm = image.assessment, _algorithm(result, finding)
    parts = ("tracking", assessment.sop_instance_uid, assessment.content_digest, result.model_digest, finding.name)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid_of(*parts), tracking),
        source_images=[sr.SourceImageForMeasurementGroup(*referenced(image)[:2])],
        measurements=[
            sr.Measurement(
                name=name, value=round(value, 6), unit=codes.UCUM.NoUnits, algorithm_id=algorithm if which else None
            )
            for which, name, value in (
                (True, _SCORE, finding.probability),
                (False, _OPERATING_POINT, finding.threshold),
            )
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(_name(finding), _code(STATES[state]))],
    )


def _algorithm(result: ModelResult, finding: FindingScore) -> sr.AlgorithmIdentification:
    name, _, version = result.model_id.partition(" ")
    parameters = [f"model sha256 {result.model_digest}", f"operating point {finding.threshold}"]
    if finding.point and is_plain(finding.point):
        parameters.append(f"operating point of the site: {finding.point}")
    return sr.AlgorithmIdentification(name, version or "unknown", parameters=parameters)


def _name(finding: FindingScore | StudyFinding) -> Code:
    return _code(stated_code(finding) or own_code(finding))


def _code(code: FindingCode) -> Code:
    return Code(code.value, code.scheme, code.meaning)
