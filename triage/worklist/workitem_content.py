"""Attributes that other systems may set in a workitem, and those it needs in a final state (PS3.4 Table CC.2.5-3)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from triage.dicom.attribute_reader import value_of
from triage.dicom.attribute_text import items_of
from triage.worklist.workitem import code, date_time

UPDATED = (  # a reader's system may set these; all others are the study's, and the priority is ours
    "ScheduledStationNameCodeSequence",
    "ScheduledHumanPerformersSequence",
    "ExpectedCompletionDateTime",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
KEPT = (  # N-SET 3/1 and 3/2: a manager may let others change these; we keep ours
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "WorklistLabel",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledProcedureStepStartDateTime",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputReadinessState",
    "InputInformationSequence",
    "StudyInstanceUID",
)
NOT_ALLOWED = (  # N-SET: not allowed
    "ProcedureStepState",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
    "ReplacedProcedureStepSequence",
)
_PERFORMED, _PROGRESS = "UnifiedProcedureStepPerformedProcedureSequence", "ProcedureStepProgressInformationSequence"
_ONE_ITEM = (_PERFORMED, _PROGRESS)  # PS3.3 Tables C.30.1-1 and C.30.3-1
_PERFORMED_CODES = ("PerformedStationNameCodeSequence", "PerformedWorkitemCodeSequence")  # final state P
_PERFORMED_TIMES = ("PerformedProcedureStepStartDateTime", "PerformedProcedureStepEndDateTime")  # final state P
_UNSPECIFIED = ("110513", "DCM", "Discontinued for unspecified reason")


def conforms(given: Dataset) -> bool:
    """Return whether a request sets only attributes that it may set, with the VR of the dictionary."""
    if any(keyword in given for keyword in NOT_ALLOWED):
        return False
    elements = [given[keyword] for keyword in UPDATED if keyword in given]
    if any(dictionary_VR(element.tag) != element.VR for element in elements):
        return False
    return all(len(given[keyword].value or ()) <= 1 for keyword in _ONE_ITEM if keyword in given)


def completed_with(attributes: Dataset) -> bool:
    """Return whether the attributes of final state code P have values, as COMPLETED requires."""
    performed = items_of(attributes, _PERFORMED)
    return bool(performed) and all(_is_performed(item) for item in performed)


def canceled_with(attributes: Dataset) -> bool:
    """Return whether the attributes of final state code X have values, as CANCELED requires; we add the time."""
    progress = items_of(attributes, _PROGRESS)
    return bool(progress) and _is_coded(value_of(progress[0], "ProcedureStepDiscontinuationReasonCodeSequence"))


def with_output(attributes: Dataset) -> Dataset:
    """Return ``attributes`` with an empty Output Information Sequence in each performed item that has none.

    The sequence is of type 2 in N-SET and of final state code P, "if there are no relevant output objects, then this
    sequence may have no items". Readers' systems leave it out, as a radiologist usually creates no object.
    """
    for item in items_of(attributes, _PERFORMED):
        if "OutputInformationSequence" not in item:
            item.OutputInformationSequence = []
    return attributes


def canceled(attributes: Dataset, now: float, request: Dataset | None = None) -> Dataset:
    """Return ``attributes`` with the time of cancellation if they have none, and the reasons and contact of a request.

    A request without a reason gets "unspecified" (CID 9300): PS3.4 CC.2.2.3 has the manager ensure the final state.
    """
    if not items_of(attributes, _PROGRESS):
        attributes.ProcedureStepProgressInformationSequence = [Dataset()]
    progress = attributes.ProcedureStepProgressInformationSequence[0]
    if request is not None:
        _add_request(progress, request)
    if not value_of(progress, "ProcedureStepCancellationDateTime"):
        progress.ProcedureStepCancellationDateTime = date_time(now)
    return attributes


def _add_request(progress: Dataset, request: Dataset) -> None:
    """Copy the reasons and contact of a cancellation request (PS3.4 Table CC.2.2-1)."""
    if reason := value_of(request, "ReasonForCancellation"):
        progress.ReasonForCancellation = reason
    codes = value_of(request, "ProcedureStepDiscontinuationReasonCodeSequence")
    progress.ProcedureStepDiscontinuationReasonCodeSequence = codes if _is_coded(codes) else [code(*_UNSPECIFIED)]
    if uri := value_of(request, "ContactURI"):
        contact = Dataset()
        contact.ContactURI = uri
        if name := value_of(request, "ContactDisplayName"):
            contact.ContactDisplayName = name
        progress.ProcedureStepCommunicationsURISequence = [contact]


def _is_performed(item: Dataset) -> bool:
    coded = all(_is_coded(value_of(item, keyword)) for keyword in _PERFORMED_CODES)
    return coded and all(value_of(item, k) for k in _PERFORMED_TIMES) and "OutputInformationSequence" in item


def _is_coded(sequence: object) -> bool:
    """Return whether it is a sequence of codes, each with a value and a meaning (PS3.4 Table CC.2.5-2a)."""
    if not sequence or not isinstance(sequence, Iterable):
        return False
    return all(
        isinstance(item, Dataset)
        and bool(value_of(item, "CodeMeaning"))
        and bool(
            (
                value_of(item, "CodingSchemeDesignator")
                and (value_of(item, "CodeValue") or value_of(item, "LongCodeValue"))
            )
            or value_of(item, "URNCodeValue")
        )
        for item in sequence
    )
