"""Labels of studies by readers and judges, as a manifest for ``triage validate``, with how each case was chosen.

Cases that were chosen because of a result say nothing of all cases: ``triage validate`` leaves them out
(``chosen.py``).
The label of a study that was drawn at random is that of a judge alone, as its readers saw the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf
from pathlib import Path

from triage.adjudication.acts import study_cases
from triage.adjudication.cases import WHOLE_STUDY, AdjudicationCase
from triage.adjudication.journal import ChosenBy, journals
from triage.adjudication.marks import CaseMarks
from triage.adjudication.ties import TieJudgement, judgements
from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from, decision_from
from triage.decision.types import ImageAssessment, TriageDecision
from triage.dicom.attribute_text import text_of
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.study import read_header
from triage.validation.cohort.chosen import CHOSEN_BY, SAMPLE_DRAWN, SAMPLE_JUDGED
from triage.validation.cohort.image_copies import lasting_image
from triage.validation.cohort.manifest import FINDING_NAME, Row, write_manifest
from triage.worklist.reader_acts import ReaderAct, acts_of, all_labels, labels
from triage.worklist.tag_visibility import visibility_of

_OF_CASES = ("sample_seed", "sample_fraction", SAMPLE_DRAWN, SAMPLE_JUDGED, "also", "blinded", "judged_by", "readers")


@dataclass(frozen=True)
class FeedbackExport:
    """Result of an export.

    Attributes:
        images: Number of images written.
        contradicted: Studies whose readers contradict each other, without a judgement.
        without_image: Labelled studies of which no image has a score.
        drawn: Studies drawn at random since the oldest of them that is in the spool; ``judged``: those of them with a
            judged label; ``lapsed``: those that retention removed before they were judged.
        studies: The studies of which images were written.
        cases: The cases of all studies.
    """

    images: int
    contradicted: int
    without_image: int
    drawn: int = 0
    judged: int = 0
    lapsed: int = 0
    studies: tuple[str, ...] = ()
    cases: tuple[AdjudicationCase, ...] = ()


@dataclass(frozen=True)
class _StudyLabel:
    """The label of a study, the labels of its findings, and the free columns on how they came about."""

    label: int
    chosen_by: ChosenBy
    findings: dict[str, int] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    images: frozenset[str] | None = None
    """The images that were judged; None for all."""


def export(spool: Store, out: Path, reader_studies: Sequence[Path] = ()) -> FeedbackExport:
    """Write a row for each image that counts in a study with a label, and for each judged tie of a reader study.

    Images that are in no file of this machine are copied into a folder next to ``out`` (image_copies.py).

    Patients are named by a digest that only this installation can compute again. ``tag_visible``: whether the tag was
    visible to the readers before the study was read; yes, no, or unknown.
    """
    found = {uid: study_cases(spool, uid) for uid in _studies(spool)}
    every = [case for cases in found.values() for case in cases]
    known = {uid: label for uid, cases in found.items() if (label := _label_of(spool, uid, cases))}
    audit = [case for case in every if case.finding == WHOLE_STUDY and case.chosen_by is ChosenBy.RANDOM]
    judged = sum(1 for case in audit if case.judgement and case.judgement.label is not None)
    lapsed = _lapsed(spool, audit)
    known = {uid: _with_counts(label, len(audit) + lapsed, judged) for uid, label in known.items()}
    rows = {uid: list(_rows(spool, uid, label, out)) for uid, label in known.items()}
    ties = [_tie_row(each) for study in reader_studies for each in judgements(study).values() if each.label is not None]
    write_manifest(out, [*(row for of_study in rows.values() for row in of_study), *(tie for tie in ties if tie)])
    return FeedbackExport(
        images=sum(map(len, rows.values())) + sum(1 for tie in ties if tie),
        contradicted=sum(1 for uid in found if uid not in known and _contradict(spool, uid)),
        without_image=sum(not of_study for of_study in rows.values()),
        drawn=len(audit) + lapsed,
        judged=judged,
        lapsed=lapsed,
        studies=tuple(uid for uid, of_study in rows.items() if of_study),
        cases=tuple(every),
    )


def _with_counts(label: _StudyLabel, drawn: int, judged: int) -> _StudyLabel:
    """Return the label of a drawn study with the numbers of all: those that are judged first are no random part."""
    if label.chosen_by is not ChosenBy.RANDOM:
        return label
    return replace(label, columns={**label.columns, SAMPLE_DRAWN: str(drawn), SAMPLE_JUDGED: str(judged)})


def _lapsed(spool: Store, audit: Sequence[AdjudicationCase]) -> int:
    """Return the number of studies drawn in the time of ``audit`` that were removed before they were judged."""
    oldest = min((case.since for case in audit), default=inf)
    lapsed = CaseMarks(spool).lapsed()
    return sum(each.of_study and each.chosen_by == ChosenBy.RANDOM and each.since >= oldest for each in lapsed)


def _studies(spool: Store) -> list[str]:
    return sorted({*(uid for uid, _ in all_labels(spool)), *journals(spool)})


def _label_of(spool: Store, study: str, cases: list[AdjudicationCase]) -> _StudyLabel | None:
    """Return the label of a study: a judge's, or that of readers who agree, unless it was drawn at random."""
    record = spool.decision(study)
    if record is None:
        return None
    decision = decision_from(record)
    whole = next((case for case in cases if case.finding == WHOLE_STUDY), None)
    findings = {case.finding: label for case in cases if (label := _judged(case)) is not None}
    label = findings.pop(WHOLE_STUDY, None)
    if label is None and any(findings.get(each.name) == 1 and each.counts for each in decision.findings):
        label = 1  # a finding that counts is there
    own = {name: each for name, each in findings.items() if FINDING_NAME.fullmatch(name)}
    judged = [case for case in cases if case.judgement]
    if label is not None and judged:
        case = whole if whole in judged else judged[0]
        # Which findings were judged depends on what was disputed: of a random draw they would be a choice again.
        own = {} if case.chosen_by is ChosenBy.RANDOM else own
        return _StudyLabel(label, case.chosen_by, own, _columns(case), _images(judged))
    if whole is not None and whole.chosen_by is ChosenBy.RANDOM:
        return None
    return _of_readers(list(labels(acts_of(spool, study)).values()), decision, own)


def _of_readers(acts: list[ReaderAct], decision: TriageDecision, findings: dict[str, int]) -> _StudyLabel | None:
    said = {act.label for act in acts}
    if len(said) != 1 or None in said:
        return None
    label = int(acts[0].label or 0)
    way = ChosenBy.READER if decision.tag == ("ABNORMAL" if label else "NORMAL") else ChosenBy.DISAGREEMENT
    return _StudyLabel(label, way, findings, {"readers": str(len(acts))})


def _judged(case: AdjudicationCase) -> int | None:
    return case.judgement.label if case.judgement else None


def _images(judged: list[AdjudicationCase]) -> frozenset[str]:
    return frozenset.intersection(*(frozenset(case.judgement.images) for case in judged if case.judgement))


def _columns(case: AdjudicationCase) -> dict[str, str]:
    draw = next((each for each in case.chosen if each.chosen_by == ChosenBy.RANDOM), None)
    return {
        "sample_seed": draw.seed if draw else "",
        "sample_fraction": f"{draw.fraction:g}" if draw else "",
        "also": " ".join(case.also),
        "blinded": "yes" if case.judgement and case.judgement.blinded else "no",
        "judged_by": case.judgement.who if case.judgement else "",
        "readers": str(len({each.who for each in case.statements})),
    }


def _contradict(spool: Store, study: str) -> bool:
    return len({act.label for act in labels(acts_of(spool, study)).values()}) > 1


def _readers(spool: Store, study: str, label: _StudyLabel) -> set[str]:
    """Return the names of those whom the label is of."""
    return {*(act.who for act in labels(acts_of(spool, study)).values()), label.columns.get("judged_by", "")} - {""}


def _rows(spool: Store, study: str, label: _StudyLabel, out: Path) -> Iterator[Row]:
    decision = spool.decision(study) or {}
    assessments = [assessment_from(record) for record in spool.assessments(study)]
    for image in current_assessments(assessments):
        instance = ReceivedInstance(study, image.sop_instance_uid, image.content_digest)
        stored = spool.stored_object(instance)
        if stored is None or not image.counts or image.probability is None:
            continue
        if label.images is not None and image.sop_instance_uid not in label.images:
            continue
        header = read_header(spool, image)
        yield Row(
            image=lasting_image(stored, instance, out),
            label=label.label,
            patient=_patient(spool, text_of(header, "PatientID"), image),
            view=image.view,
            age=image.age_years,
            sex=sex if (sex := text_of(header, "PatientSex")) in ("M", "F", "O") else "",
            source="feedback",
            columns={
                "study": study,
                "tag": str(decision.get("tag", "")),
                "probability": f"{image.probability:.6f}",
                "model": image.model_id or "",
                CHOSEN_BY: label.chosen_by,
                "tag_visible": visibility_of(spool, study, _readers(spool, study, label)),
                **dict.fromkeys(_OF_CASES, ""),
                **label.columns,
            },
            labels=label.findings,
        )


def _tie_row(judgement: TieJudgement) -> Row | None:
    image = Path(judgement.image)
    if not image.is_file():
        return None
    return Row(
        image=image,
        label=int(judgement.label or 0),
        patient=judgement.patient,
        source="reader study",
        columns={CHOSEN_BY: ChosenBy.TIE, "judged_by": judgement.who, "also": judgement.why},
    )


def _patient(spool: Store, patient_id: str, image: ImageAssessment) -> str:
    known = patient_id or image.study_instance_uid
    return "local:" + sha256(f"{spool.installation_uid()}\n{known}".encode()).hexdigest()[:24]
