"""Studies of phantoms as patients with ID and issuer, received, tagged and listed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread

from tests.support.builders import an_assessment
from tests.support.service import receive
from triage.decision.decide import decide
from triage.decision.records import to_record
from triage.decision.types import ImageAssessment, PriorityPolicy, Tag
from triage.dicom.identity import patient_marks
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.web.api.sources import Sources

_VIEWS = {"LL": "LATERAL"}


@dataclass(frozen=True)
class Patient:
    """Patient ID and its issuer, empty for none, and a name."""

    identifier: str = "1"
    issuer: str = ""
    name: str = "PHANTOM^CHEST"


def a_study(
    sources: Sources,
    study: str,
    patient: Patient,
    *,
    date: str = "20260101",
    views: Sequence[str] = ("PA",),
    size: int = 96,
    corner: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Study Instance UID of a study with an image of each view; ``corner``: dark, and its upper left corner bright."""
    found = [_image(sources, study, patient, date, view, size, corner, attributes or {}) for view in views]
    uid = found[0].study_instance_uid
    decision = decide(found, PriorityPolicy(), time.time())
    with sources.spool.study_lock(uid):
        sources.spool.write_decision(uid, to_record(decision))
    sources.worklist.put(decision)
    return uid


def _image(
    sources: Sources,
    study: str,
    patient: Patient,
    date: str,
    view: str,
    size: int,
    corner: bool,
    attributes: Mapping[str, Any],
) -> ImageAssessment:
    pixels = draw(1, rows=size, columns=size)
    if corner:
        pixels[:] = 300
        pixels[: size // 4, : size // 4] = 3900
    file, header = _file(as_dicom(pixels, PhantomSubject(study=study, view=view)), patient, date, attributes)
    instance = receive(sources.spool, file, time.time() - 600)
    assessment = an_assessment(
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=f"{instance.study_instance_uid}.1",
        sop_instance_uid=instance.sop_instance_uid,
        content_digest=instance.content_digest,
        view=_VIEWS.get(view, view),
        tag=Tag.ABNORMAL,
        probability=0.91,
        received_at=time.time() - 600,
        assessed_at=time.time() - 599,
        age_years=50.0,
        patient=patient_marks(header),
    )
    sources.spool.write_assessment(instance, to_record(assessment))
    sources.spool.file(instance)
    return assessment


def _file(file: bytes, patient: Patient, date: str, attributes: Mapping[str, Any]) -> tuple[bytes, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that a standard writer would not write
        dataset = dcmread(BytesIO(file))
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientID, dataset.PatientName, dataset.StudyDate = patient.identifier, patient.name, date
        if patient.issuer:
            dataset.IssuerOfPatientID = patient.issuer
        for name, value in attributes.items():
            setattr(dataset, name, value)
        written = BytesIO()
        dataset.save_as(written)
    return written.getvalue(), dataset
