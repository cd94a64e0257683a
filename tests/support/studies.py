"""Studies in a spool as the worker leaves them: objects, assessments, a decision, and a mark for each destination."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.support.builders import an_assessment
from triage.decision.decide import decide
from triage.decision.records import assessment_from, to_record
from triage.decision.types import ImageAssessment, PriorityPolicy, Tag, TriageDecision
from triage.delivery.outbox import Outbox
from triage.dicom.dx_image import DXDescription, dx_image, part10
from triage.dicom.identity import accession_issuer, patient_marks
from triage.dicom.part10 import data_set_in
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

POLICY = PriorityPolicy(prior_after_days=30.0)


def a_radiograph(study: str, **attributes: Any) -> Dataset:
    """A small frontal of a study, with its patient; ``attributes`` replace what is there."""
    description = DXDescription(
        study_instance_uid=study,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        patient_name="DOE^JANE",
        patient_id="P-1",
        age="050Y",
        view="PA",
        accession_number="ACC-1",
        acquired=(time.strftime("%Y%m%d"), "101500"),
    )
    dataset = dx_image(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), 12, description)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def add_image(spool: Spool, dataset: Dataset, **changes: Any) -> ImageAssessment:
    """Store an object of a study with its assessment, as filed."""
    content = part10(dataset)
    digest = sha256(data_set_in(content)).hexdigest()
    instance = ReceivedInstance(str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID), digest)
    values = {
        "series_instance_uid": str(dataset.SeriesInstanceUID),
        "sop_class_uid": str(dataset.SOPClassUID),
        "accession_number": str(dataset.AccessionNumber),
        "acquisition_date": str(dataset.get("AcquisitionDate", "")),
        "accession_issuer": str(accession_issuer(dataset)),
        "patient": patient_marks(dataset),
        **changes,
    }
    return store(spool, instance, content, **values)


def store(spool: Spool, instance: ReceivedInstance, content: bytes, **values: Any) -> ImageAssessment:
    """Store the bytes of an object with its assessment, as filed."""
    upload = spool.begin_upload()
    try:
        upload.write(memoryview(content))
        spool.keep(upload, instance)
    finally:
        upload.discard()
    values = {
        "study_instance_uid": instance.study_instance_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "content_digest": instance.content_digest,
        "received_at": time.time(),
        "assessed_at": time.time(),
        **values,
    }
    assessment = an_assessment(**values)
    spool.write_assessment(instance, to_record(assessment))
    spool.file(instance)
    return assessment


def settle(spool: Spool, study: str, *destinations: str, policy: PriorityPolicy = POLICY) -> TriageDecision:
    """Decide on a study as the worker does, and mark it for the destinations."""
    outbox = Outbox(spool)
    outbox.prepare(destinations)
    with spool.study_lock(study):
        decision = decide([assessment_from(each) for each in spool.assessments(study)], policy, time.time())
        spool.write_decision(study, to_record(decision))
        for name in destinations:
            outbox.mark(study, name)
    return decision


def a_study(spool: Spool, *destinations: str, tag: Tag = Tag.ABNORMAL, attributes: Any = None, **changes: Any) -> str:
    """A study of one frontal with a decision; its Study Instance UID."""
    study = str(generate_uid())
    probability = {Tag.ABNORMAL: 0.91, Tag.NORMAL: 0.08, Tag.NOT_ASSESSED: None}[tag]
    add_image(spool, a_radiograph(study, **(attributes or {})), **{"tag": tag, "probability": probability, **changes})
    settle(spool, study, *destinations)
    return study
