"""The content tree of a structured report: TID 1500 with what we found, in highdicom's templates."""

from __future__ import annotations

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from triage.channels.sr.findings import comments, finding_evaluations, finding_groups
from triage.decision.reasons import Reason
from triage.decision.statement import SCOPE, looked_for
from triage.decision.types import Tag
from triage.dicom.uid import uid_of
from triage.hl7.message_types import SCHEME
from triage.spool.study import Study, StudyImage, referenced

_NORMALITY = Code("121402", "DCM", "Normality")
_TAGS = {
    Tag.ABNORMAL: Code("263654008", "SCT", "Abnormal"),
    Tag.NORMAL: Code("17621005", "SCT", "Normal"),
    Tag.NOT_ASSESSED: Code("371934000", "SCT", "Normality Undetermined"),
}
_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
_REASON = Code("reason", SCHEME, "Reason")
_PROBABILITY = Code("probability", SCHEME, "Probability of abnormality")
_CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain X-ray of chest")
_ROOT_TITLE = Code("126000", "DCM", "Imaging Measurement Report")


def root() -> sr.ContentSequence:
    """Return an empty root of TID 1500 Measurement Report.

    Not highdicom's, which needs a measurement: a study that is not assessed may have none.
    """
    root = sr.ContainerContentItem(name=_ROOT_TITLE, template_id="1500")
    root.ContentSequence = sr.ContentSequence()
    return sr.ContentSequence([root], is_root=True)


def content(study: Study, device_uid: str) -> sr.ContentSequence:
    """Yield the content items below the root of TID 1500."""
    made = sr.ContentSequence()
    made.extend(sr.LanguageOfContentItemAndDescendants(sr.CodedConcept("en", "RFC5646", "English")))
    made.extend(_observer(device_uid))
    made.append(
        sr.CodeContentItem(codes.DCM.ProcedureReported, _CHEST_RADIOGRAPHY, sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
    )
    groups = _groups(study)
    if groups:
        measurements = sr.ContainerContentItem(
            codes.DCM.ImagingMeasurements, relationship_type=sr.RelationshipTypeValues.CONTAINS
        )
        measurements.ContentSequence = groups
        made.append(measurements)
    made.append(_evaluations(study))
    return made


def _groups(study: Study) -> sr.ContentSequence:
    """Return TID 1501 for each scored image, then for each finding of it."""
    made = sr.ContentSequence()
    states = {finding.name: finding.state for finding in study.decision.findings}
    in_service = (each for each in study.images if each.assessment.counts and not each.assessment.shadow)
    shown = [each for each in in_service if each.assessment.probability is not None or each.assessment.findings]
    for number, image in enumerate(shown, 1):
        if image.assessment.probability is not None:
            made.extend(_group(image, number))
        made.extend(item for group in finding_groups(image, number, states) for item in group)
    return made


def _observer(device_uid: str) -> sr.ObservationContext:
    """TID 1001 with TID 1004: the observer is a device, this program."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid,
        name="cxr-triage",
        manufacturer_name="cxr-triage",
        model_name="cxr-triage",
        serial_number="1",
    )
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))


def _group(image: StudyImage, number: int) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501 for one scored image."""
    assessment = image.assessment
    assert assessment.probability is not None
    name, _, model_version = (assessment.model_id or "unknown").partition(" ")
    algorithm = sr.AlgorithmIdentification(
        name,
        model_version or "unknown",
        parameters=[f"model sha256 {assessment.model_digest}", f"operating point {assessment.operating_point}"],
    )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid_of("tracking", assessment.sop_instance_uid, assessment.content_digest), f"image {number}"
        ),
        source_images=[sr.SourceImageForMeasurementGroup(*referenced(image)[:2])],
        measurements=[
            sr.Measurement(
                name=_PROBABILITY,
                value=round(assessment.probability, 6),
                unit=codes.UCUM.NoUnits,
                algorithm_id=algorithm,
            )
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_NORMALITY, _TAGS[assessment.tag]),
            *(sr.QualitativeEvaluation(_REASON, _reason(reason)) for reason in assessment.reasons),
        ],
    )


def _evaluations(study: Study) -> sr.ContainerContentItem:
    """The study's tag, reasons and findings, behind what they are; and what was looked for."""
    decision, told = study.decision, not study.before_findings
    container = sr.ContainerContentItem(_QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    made = sr.ContentSequence()
    made.extend(comments([f"{SCOPE}."] if told else []))
    made.extend(comments(_correction(study)))
    made.extend(sr.QualitativeEvaluation(_NORMALITY, _TAGS[decision.tag]))
    for reason in decision.reasons:
        made.extend(sr.QualitativeEvaluation(_REASON, _reason(reason)))
    if told:
        made.extend(finding_evaluations(decision))
        made.extend(comments(looked_for(decision)))
    container.ContentSequence = made
    return container


def _correction(study: Study) -> list[str]:
    """Return that the earlier report is withdrawn, by whom, when and why."""
    if study.correction is None or study.before is None:
        return []
    withdrawn = study.before.identity.get("sop_instance_uid", "")
    return [f"{study.correction.sentence}.", *([f"Report {withdrawn} is withdrawn."] if withdrawn else [])]


def _reason(reason: Reason) -> Code:
    return Code(reason, SCHEME, reason.replace("_", " ").capitalize())
