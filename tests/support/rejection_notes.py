"""Rejection notes of IHE IOCM: made with highdicom as a sender makes them, and faulty ones."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from triage.channels.patient_study import encoded
from triage.decision.rejection_note import TITLES
from triage.radiograph.rejection_note import KEY_OBJECT_SELECTION


def a_note(images: Sequence[Dataset], code: str = "113001", title: Code | None = None) -> Dataset:
    """The note that rejects ``images``, which may be of several studies (then of the first one)."""
    title = title or Code(code, "DCM", TITLES[code])
    document: Dataset = KeyObjectSelectionDocument(
        evidence=list(images),
        content=KeyObjectSelection(document_title=title, referenced_objects=list(images)),
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        institution_name=None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return document


def a_bare_note(study: str, images: Sequence[str], code: str = "113001") -> Dataset:
    """A note with nothing but a title and the evidence of ``study``."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = KEY_OBJECT_SELECTION, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = study, generate_uid(), "KO"
    made.ConceptNameCodeSequence = [coded(code)]
    made.CurrentRequestedProcedureEvidenceSequence = [evidence(study, images)]
    return made


def coded(value: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "a title"
    return item


def evidence(study: str, images: Sequence[str]) -> Dataset:
    series, item = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = generate_uid(), []
    for uid in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", uid
        series.ReferencedSOPSequence.append(reference)
    item.StudyInstanceUID, item.ReferencedSeriesSequence = study, [series]
    return item


def file_of(dataset: Dataset) -> bytes:
    """The object as a DICOM file."""
    return encoded(dataset)
