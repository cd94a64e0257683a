"""The content tree of a structured report: TID 1500 with what we found, in highdicom's templates."""

from __future__ import annotations

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.uid import uid_of
from triage.spool.study import Study, StudyImage, referenced

SCHEME = "99CXRTRIAGE"
"""Designator of our private coding scheme; docs/reference/channels.md lists its codes."""


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
    if study.scored:
        measurements = sr.ContainerContentItem(
            codes.DCM.ImagingMeasurements, relationship_type=sr.RelationshipTypeValues.CONTAINS
        )
        measurements.ContentSequence = sr.ContentSequence()
        for number, image in enumerate(study.scored, 1):
            measurements.ContentSequence.extend(_group(image, number))
        made.append(measurements)
    made.append(_evaluations(study.decision.tag, study.decision.reasons))
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


def _evaluations(tag: Tag, reasons: tuple[Reason, ...]) -> sr.ContainerContentItem:
    """The study's tag and reasons."""
    container = sr.ContainerContentItem(_QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    container.ContentSequence = sr.ContentSequence()
    container.ContentSequence.extend(sr.QualitativeEvaluation(_NORMALITY, _TAGS[tag]))
    for reason in reasons:
        container.ContentSequence.extend(sr.QualitativeEvaluation(_REASON, _reason(reason)))
    return container


def _reason(reason: Reason) -> Code:
    return Code(reason, SCHEME, reason.replace("_", " ").capitalize())
