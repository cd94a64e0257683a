"""Rejected images in the decision of their study."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.support.builders import an_assessment
from triage.decision.correction import correction_by_note
from triage.decision.decide import current_assessments, decide
from triage.decision.identity import PatientMarks, mark
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, to_record
from triage.decision.rejection import with_rejections
from triage.decision.rejection_note import EXPIRED, PATIENT_SAFETY, QUALITY, TITLES, WRONG_ENTRY, RejectionNote
from triage.decision.types import ImageAssessment, Priority, PriorityPolicy, Tag, TriageDecision

JANE = PatientMarks(identifiers=((mark("P-1"), ""),), birth_date=mark("19700101"))
JOHN = PatientMarks(identifiers=((mark("P-2"), ""),), birth_date=mark("19500101"))


def image(sop: str, tag: Tag = Tag.NORMAL, **changes: object) -> ImageAssessment:
    return an_assessment(**{"sop_instance_uid": sop, "tag": tag, "patient": JANE, **changes})


def note(*images: str, code: str = QUALITY, refused: str = "", **changes: object) -> ImageAssessment:
    content = RejectionNote(code, images, refused, vouched_for=bool(changes.pop("vouched_for", False)))
    values = {"sop_instance_uid": f"9.{code}", "probability": None, "model_id": None, "patient": JANE, **changes}
    return image(tag=Tag.NOT_ASSESSED, **{"sop": values.pop("sop_instance_uid"), **values}, **_of_note(content))


def _of_note(content: RejectionNote) -> dict[str, object]:
    return {"reasons": (Reason.REJECTION_NOTE,), "rejection": content}


def decided(*images: ImageAssessment) -> TriageDecision:
    every = [decide(order, PriorityPolicy(), now=5.0) for order in permutations(images)]
    assert all(each == every[0] for each in every), "the order of arrival matters"
    return every[0]


@pytest.mark.parametrize("code", sorted(TITLES))
def test_a_study_whose_images_are_all_rejected_is_not_assessed(code: str) -> None:
    decision = decided(image("1", Tag.ABNORMAL), image("2"), note("1", "2", code=code))
    assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (Reason.REJECTED,))
    assert (decision.probability, decision.evidence, decision.findings) == (None, (), ())
    assert decision.priority is Priority.MEDIUM


def test_what_is_left_decides() -> None:
    refused = image("1", Tag.NOT_ASSESSED, reasons=(Reason.OUT_OF_DISTRIBUTION,))
    assert decided(refused, image("2"), note("1")).tag is Tag.NORMAL
    assert decided(image("1"), image("2", Tag.ABNORMAL), note("1")).tag is Tag.ABNORMAL


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        (QUALITY, Tag.NOT_ASSESSED),
        (EXPIRED, Tag.NOT_ASSESSED),
        (PATIENT_SAFETY, Tag.NORMAL),
        (WRONG_ENTRY, Tag.NORMAL),
    ],
)
def test_a_poor_abnormal_image_leaves_no_normal_and_a_wrong_one_leaves_no_trace(code: str, tag: Tag) -> None:
    decision = decided(image("1", Tag.ABNORMAL), image("2"), note("1", code=code))
    assert decision.tag is tag


@pytest.mark.parametrize(
    "harmless",
    [
        note("1", refused="its sender may not"),
        note("7"),
        note("1", patient=JOHN),
        note("1", study_instance_uid="1.2.3", code=WRONG_ENTRY, patient=JOHN),
    ],
)
def test_a_note_that_counts_for_nothing_lowers_nothing(harmless: ImageAssessment) -> None:
    decision = decided(image("1", Tag.ABNORMAL), harmless)
    assert (decision.tag, decision.priority) == (Tag.ABNORMAL, Priority.HIGH)


def test_a_wrong_image_names_neither_patient_nor_order_and_a_poor_one_does() -> None:
    theirs = image("1", patient=JOHN, accession_number="A0", order_priority="STAT", received_at=1.0)
    ours = image("2", accession_number="A2")
    assert decided(theirs, ours).reasons == (Reason.PATIENT_MISMATCH,)

    mended = decided(theirs, ours, note("1", code=WRONG_ENTRY, patient=JOHN, accession_number="A0"))
    assert (mended.tag, mended.reasons, mended.accession_number) == (Tag.NORMAL, (), "A2")
    assert mended.priority is Priority.MEDIUM
    assert Reason.PATIENT_MISMATCH in decided(theirs, ours, note("1", patient=JOHN)).reasons


def test_different_content_under_a_rejected_uid_stays_rejected() -> None:
    again = image("1", content_digest="2" * 64, received_at=2000.0)
    assert decided(image("1", Tag.ABNORMAL), again, note("1", code=PATIENT_SAFETY)).reasons == (Reason.REJECTED,)


def test_the_revision_knows_of_a_rejection_and_nothing_else_changed_it() -> None:
    before = decided(image("1"), image("2"))
    assert decided(image("1"), image("2"), note("1")).revision != decided(image("1"), image("2"), note("2")).revision
    assert before.revision == decided(image("1"), image("2")).revision


def test_rejected_images_are_shown_with_the_note_and_stored_without() -> None:
    images = [image("1", Tag.ABNORMAL, detail="as found"), note("1", code=PATIENT_SAFETY)]
    shown = with_rejections(images)[0]
    assert (shown.counts, shown.rejected) == (False, PATIENT_SAFETY)
    assert shown.detail == "as found; Rejected for Patient Safety Reasons (113037) by note 9.113037"
    assert with_rejections(with_rejections(images)) == with_rejections(images)
    stored = [assessment_from(to_record(each)) for each in images]
    assert stored == images
    assert [each.rejected for each in current_assessments(stored)] == [PATIENT_SAFETY, ""]


@pytest.mark.parametrize(
    ("one", "corrects"),
    [
        (note("1", code=WRONG_ENTRY, vouched_for=True), True),
        (note("1", code=WRONG_ENTRY), False),
        (note("1", vouched_for=True), False),
        (note("7", code=WRONG_ENTRY, vouched_for=True), False),
    ],
)
def test_only_a_vouched_for_note_that_an_image_is_wrong_corrects(one: ImageAssessment, corrects: bool) -> None:
    images = with_rejections([image("1", Tag.ABNORMAL), one])
    assert (correction_by_note(decided(*images), images) is not None) is corrects
