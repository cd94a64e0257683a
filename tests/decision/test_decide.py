"""A study's tag and priority, from its images."""

import random
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from tests.support.builders import an_assessment
from triage.decision.decide import decide, revision
from triage.decision.identity import PatientMarks, mark
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.decision.types import ImageAssessment, Priority, PriorityPolicy, Tag
from triage.radiograph.attributes import read_attributes

POLICY = PriorityPolicy()


def image(sop: str, tag: Tag, *reasons: Reason, **changes: object) -> ImageAssessment:
    return an_assessment(sop_instance_uid=sop, tag=tag, reasons=reasons, **changes)


def lateral(sop: str = "9") -> ImageAssessment:
    return image(sop, Tag.NOT_ASSESSED, Reason.NOT_FRONTAL, probability=None, model_id=None)


def undecodable(sop: str = "8") -> ImageAssessment:
    return image(sop, Tag.NOT_ASSESSED, Reason.UNDECODABLE, probability=None, model_id=None)


def test_one_abnormal_image_makes_the_study_abnormal_whatever_else_failed() -> None:
    images = [image("1", Tag.NORMAL), image("2", Tag.ABNORMAL, probability=0.9), undecodable(), lateral()]
    decision = decide(images, POLICY, now=5.0)
    assert (decision.tag, decision.priority) == (Tag.ABNORMAL, Priority.HIGH)
    assert (decision.probability, decision.evidence, decision.reasons) == (0.9, ("2",), ())


@pytest.mark.parametrize(
    "reason", sorted(set(Reason) - LISTED_NOT_COUNTED - {Reason.NO_FRONTAL_IMAGE, Reason.PATIENT_MISMATCH})
)
def test_an_image_that_should_have_been_scored_and_was_not_forbids_normal(reason: Reason) -> None:
    missed = image("2", Tag.NOT_ASSESSED, reason, probability=0.2)
    decision = decide([image("1", Tag.NORMAL), missed], POLICY, now=5.0)
    assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (reason,))
    assert decision.probability == 0.2


@pytest.mark.parametrize("reason", sorted(LISTED_NOT_COUNTED))
def test_objects_that_are_only_listed_change_nothing(reason: Reason) -> None:
    decision = decide([image("1", Tag.NORMAL), image("2", Tag.NOT_ASSESSED, reason, probability=None)], POLICY, 5.0)
    assert decision.tag is Tag.NORMAL


def test_a_study_without_a_frontal_is_not_assessed() -> None:
    decision = decide([lateral()], POLICY, now=5.0)
    assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (Reason.NO_FRONTAL_IMAGE,))


def test_a_shadow_model_changes_neither_tag_nor_priority() -> None:
    decision = decide([image("1", Tag.ABNORMAL, shadow=True, probability=0.99)], POLICY, now=5.0)
    assert (decision.tag, decision.priority) == (Tag.NOT_ASSESSED, Priority.MEDIUM)
    assert decision.reasons == (Reason.MODEL_SHADOW,)


def test_later_content_under_one_uid_replaces_a_broken_one() -> None:
    broken = an_assessment(
        tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,), content_digest="1" * 64, received_at=1.0, probability=None
    )
    mended = an_assessment(content_digest="2" * 64, received_at=2.0)
    assert decide([mended, broken], POLICY, now=5.0).tag is Tag.NORMAL


def test_later_content_under_one_uid_never_lowers_an_abnormal_study() -> None:
    raised = an_assessment(tag=Tag.ABNORMAL, probability=0.9, content_digest="1" * 64, received_at=1.0)
    other = an_assessment(content_digest="2" * 64, received_at=2.0)
    assert decide([raised, other], POLICY, now=5.0).tag is Tag.ABNORMAL


def test_the_decision_does_not_depend_on_the_order_of_the_images() -> None:
    images = [image("1", Tag.NORMAL), undecodable(), lateral(), image("4", Tag.NORMAL, received_at=3.0)]
    first = decide(images, POLICY, now=5.0)
    for seed in range(10):
        shuffled = random.Random(seed).sample(images, len(images))
        assert decide(shuffled, POLICY, now=5.0) == first


@pytest.mark.parametrize(
    ("raw", "tag", "lower_normal", "expected"),
    [
        ("STAT", Tag.NORMAL, False, Priority.HIGH),
        ("STAT", Tag.NORMAL, True, Priority.HIGH),
        ("HIGH", Tag.NOT_ASSESSED, False, Priority.HIGH),
        ("ROUTINE", Tag.NORMAL, False, Priority.MEDIUM),
        ("ROUTINE", Tag.NORMAL, True, Priority.LOW),
        ("ROUTINE", Tag.NOT_ASSESSED, True, Priority.MEDIUM),
        ("LOW", Tag.ABNORMAL, False, Priority.HIGH),
        ("LOW", Tag.NOT_ASSESSED, False, Priority.LOW),
        ("", Tag.NORMAL, False, Priority.MEDIUM),
        ("URGENT?", Tag.NORMAL, False, Priority.MEDIUM),
    ],
)
def test_priority_of_tag_and_order(raw: str, tag: Tag, lower_normal: bool, expected: Priority) -> None:
    reasons = (Reason.AGE_UNKNOWN,) if tag is Tag.NOT_ASSESSED else ()
    images = [an_assessment(tag=tag, order_priority=raw, reasons=reasons)]
    assert decide(images, PriorityPolicy(lower_normal=lower_normal), now=5.0).priority is expected


def test_the_revision_changes_with_content_model_and_settings_only() -> None:
    base = an_assessment()
    same = an_assessment(assessed_at=99.0)
    others = [an_assessment(content_digest="d" * 64), an_assessment(model_digest="e" * 64)]
    others.append(an_assessment(operating_point=0.4))
    assert revision([base], POLICY) == revision([same], POLICY)
    digests = {revision([image], POLICY) for image in [base, *others]}
    digests.add(revision([base], PriorityPolicy(baseline=Priority.LOW)))
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("days", "dates", "prior"),
    [
        (30.0, ["20200101"], True),
        (30.0, ["20200101", "20200102"], True),
        (30.0, ["20200101", ""], False),
        (30.0, ["20200101", "20230610"], False),
        (30.0, ["not a date"], False),
        (0.0, ["20200101"], False),
    ],
)
def test_a_prior_is_tagged_and_raises_nothing(days: float, dates: list[str], prior: bool) -> None:
    received_at = datetime(2023, 6, 15, tzinfo=UTC).timestamp()
    images = [
        an_assessment(tag=Tag.ABNORMAL, sop_instance_uid=f"1.2.{i}", acquisition_date=date, received_at=received_at)
        for i, date in enumerate(dates)
    ]
    decision = decide(images, PriorityPolicy(prior_after_days=days), received_at)
    assert (decision.tag, decision.prior) == (Tag.ABNORMAL, prior)
    assert decision.priority is (Priority.MEDIUM if prior else Priority.HIGH)
    report = image("9", Tag.NOT_ASSESSED, Reason.NOT_A_RADIOGRAPH, acquisition_date="20230615", received_at=received_at)
    assert decide([*images, report], PriorityPolicy(prior_after_days=days), received_at).prior is prior


def test_the_latest_date_of_an_image_counts() -> None:
    dataset = Dataset()
    dataset.AcquisitionDate, dataset.StudyDate = "19970101", "20260301"
    assert read_attributes(dataset).acquisition_date == "20260301"
    dataset.StudyDate = ""
    dataset.AcquisitionDateTime = "20260302101500.0+0100"
    assert read_attributes(dataset).acquisition_date == "20260302"
    assert read_attributes(Dataset()).acquisition_date == ""


def test_a_study_of_two_patients_is_never_normal_and_stays_raised() -> None:
    one, other = PatientMarks(((mark("1"), "A"),)), PatientMarks(((mark("1"), "B"),))
    normal = [image("1", Tag.NORMAL, patient=one), image("2", Tag.NORMAL, patient=other)]
    decision = decide(normal, POLICY, now=5.0)
    assert (decision.tag, decision.reasons) == (Tag.NOT_ASSESSED, (Reason.PATIENT_MISMATCH,))
    listed = image("9", Tag.NOT_ASSESSED, Reason.NOT_A_RADIOGRAPH, probability=None, patient=other)
    assert decide([normal[0], listed], POLICY, now=5.0).reasons == (Reason.PATIENT_MISMATCH,)
    raised = decide([image("1", Tag.ABNORMAL, probability=0.9, patient=one), normal[1]], POLICY, now=5.0)
    assert (raised.tag, raised.priority, raised.reasons) == (Tag.ABNORMAL, Priority.HIGH, (Reason.PATIENT_MISMATCH,))
    assert decide([normal[0], image("2", Tag.NORMAL)], POLICY, now=5.0).tag is Tag.NORMAL


def test_a_corrected_image_ends_the_mismatch_of_patients() -> None:
    one, other = PatientMarks(((mark("1"), ""),)), PatientMarks(((mark("2"), ""),))
    wrong = image("2", Tag.NORMAL, patient=other, received_at=1.0)
    right = image("2", Tag.NORMAL, patient=one, received_at=2.0, content_digest="b" * 64)
    images = [image("1", Tag.NORMAL, patient=one), wrong, right]
    assert decide(images, POLICY, now=5.0).tag is Tag.NORMAL
    assert decide(images[:2], POLICY, now=5.0).revision != decide(images, POLICY, now=5.0).revision


def test_the_issuer_that_is_kept_is_that_of_the_accession_number() -> None:
    images = [
        image("1", Tag.NORMAL, accession_number="", accession_issuer=""),
        image("2", Tag.NORMAL, accession_number="7", accession_issuer="RIS_B"),
    ]
    decision = decide(images, POLICY, now=5.0)
    assert (decision.accession_number, decision.accession_issuer) == ("7", "RIS_B")


def test_what_came_while_the_clock_was_ahead_is_no_prior() -> None:
    fresh = image("1", Tag.ABNORMAL, probability=0.9, acquisition_date="20200101", received_at=_at(2020, 2, 20))
    policy = PriorityPolicy(prior_after_days=30.0)
    assert decide([fresh], policy, now=_at(2020, 2, 20)).prior
    raised = decide([fresh], policy, now=_at(2020, 1, 11))  # and now the clock is right again
    assert (raised.prior, raised.priority) == (False, Priority.HIGH)


def _at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()
