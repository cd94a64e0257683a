"""Radiologists' labels of studies, as a manifest for ``triage validate``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment
from triage.dicom.attribute_text import text_of
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.study import read_header
from triage.validation.cohort.manifest import Row, write_manifest
from triage.worklist.reader_acts import ReaderAct, all_labels
from triage.worklist.tag_visibility import visibility_of


@dataclass(frozen=True)
class FeedbackExport:
    """Result of an export: numbers of images written, of studies with contradicting readers, and without an image.

    ``studies``: the studies of which images were written.
    """

    images: int
    contradicted: int
    without_image: int
    studies: tuple[str, ...] = ()


def export(spool: Spool, out: Path) -> FeedbackExport:
    """Write a row for each image that counts in a labelled study, if all its readers agree.

    Patients are named by a digest that only this installation can compute again. ``tag_visible``: whether the tag was
    visible to the readers before the study was read; yes, no, or unknown.
    """
    by_study: dict[str, list[ReaderAct]] = defaultdict(list)
    for study, act in all_labels(spool):
        by_study[study].append(act)
    agreed = {study: acts for study, acts in by_study.items() if len({act.label for act in acts}) == 1}
    rows = {study: list(_rows(spool, study, acts)) for study, acts in agreed.items()}
    write_manifest(out, [row for of_study in rows.values() for row in of_study])
    return FeedbackExport(
        images=sum(map(len, rows.values())),
        contradicted=len(by_study) - len(agreed),
        without_image=sum(not of_study for of_study in rows.values()),
        studies=tuple(study for study, of_study in rows.items() if of_study),
    )


def _rows(spool: Spool, study: str, acts: list[ReaderAct]) -> Iterator[Row]:
    assessments = [assessment_from(record) for record in spool.assessments(study)]
    for image in current_assessments(assessments):
        instance = ReceivedInstance(study, image.sop_instance_uid, image.content_digest)
        path = spool.find(instance)
        if path is None or not image.counts or image.probability is None:
            continue
        header = read_header(spool, image)
        yield Row(
            image=path,
            label=int(acts[0].label or 0),
            patient=_patient(spool, text_of(header, "PatientID"), image),
            view=image.view,
            age=image.age_years,
            sex=sex if (sex := text_of(header, "PatientSex")) in ("M", "F", "O") else "",
            source="feedback",
            columns={
                "study": study,
                "tag": acts[-1].tag,
                "probability": f"{image.probability:.6f}",
                "model": image.model_id or "",
                "readers": str(len(acts)),
                "tag_visible": visibility_of(spool, study, {act.who for act in acts}),
            },
        )


def _patient(spool: Spool, patient_id: str, image: ImageAssessment) -> str:
    known = patient_id or image.study_instance_uid
    return "local:" + sha256(f"{spool.installation_uid()}\n{known}".encode()).hexdigest()[:24]
