"""What radiologists said of studies, as labels that ``triage validate`` takes."""

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


@dataclass(frozen=True)
class Exported:
    """How many images were written, how many studies had readers who contradict each other, or no image to label.

    ``studies`` are those of which images were written.
    """

    images: int
    contradicted: int
    without_image: int
    studies: tuple[str, ...] = ()


def export(spool: Spool, out: Path) -> Exported:
    """Write a row for each image that counts in a study that was labelled, where all its readers say the same.

    Patients are named by a digest that only this installation can make again.
    """
    by_study: dict[str, list[ReaderAct]] = defaultdict(list)
    for study, step in all_labels(spool):
        by_study[study].append(step)
    agreed = {study: said for study, said in by_study.items() if len({step.label for step in said}) == 1}
    rows = {study: list(_rows(spool, study, said)) for study, said in agreed.items()}
    write_manifest(out, [row for some in rows.values() for row in some])
    return Exported(
        images=sum(map(len, rows.values())),
        contradicted=len(by_study) - len(agreed),
        without_image=sum(not some for some in rows.values()),
        studies=tuple(study for study, some in rows.items() if some),
    )


def _rows(spool: Spool, study: str, said: list[ReaderAct]) -> Iterator[Row]:
    assessments = [assessment_from(record) for record in spool.assessments(study)]
    for image in current_assessments(assessments):
        instance = ReceivedInstance(study, image.sop_instance_uid, image.content_digest)
        path = spool.find(instance)
        if path is None or not image.counts or image.probability is None:
            continue
        header = read_header(spool, image)
        yield Row(
            image=path,
            label=int(said[0].label or 0),
            patient=_patient(spool, text_of(header, "PatientID"), image),
            view=image.view,
            age=image.age_years,
            sex=sex if (sex := text_of(header, "PatientSex")) in ("M", "F", "O") else "",
            source="feedback",
            columns={
                "study": study,
                "tag": said[-1].tag,
                "probability": f"{image.probability:.6f}",
                "model": image.model_id or "",
                "readers": str(len(said)),
            },
        )


def _patient(spool: Spool, patient_id: str, image: ImageAssessment) -> str:
    known = patient_id or image.study_instance_uid
    return "local:" + sha256(f"{spool.installation_uid()}\n{known}".encode()).hexdigest()[:24]
