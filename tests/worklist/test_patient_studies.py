"""Other studies of a patient: by ID and issuer together, and never two patients in one list."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.support.builders import an_assessment, an_instance
from triage.decision.decide import decide
from triage.decision.identity import Issuer, PatientMarks, mark
from triage.decision.records import to_record
from triage.decision.rejection_note import WRONG_ENTRY, RejectionNote
from triage.decision.types import PriorityPolicy
from triage.spool.spool import Spool
from triage.worklist.patient_index import PatientIndex
from triage.worklist.patient_studies import MOST_BEARERS, LeftOut, Match, NoPatient, PatientStudies, others

NORTH, SOUTH = Issuer("NORTH"), Issuer("SOUTH")


def marks(identifier: str = "1", issuer: Issuer = NORTH, born: str = "19500101", **more: Any) -> PatientMarks:
    return PatientMarks(((mark(identifier), str(issuer)),), mark(born), **more)


def a_study(spool: Spool, uid: str, *patients: PatientMarks, listed: bool = True) -> None:
    assessments = []
    for number, patient in enumerate(patients or (marks(),)):
        sop = f"{uid}.{number}"
        assessment = an_assessment(study_instance_uid=uid, sop_instance_uid=sop, patient=patient)
        spool.write_assessment(an_instance(uid, sop), to_record(assessment))
        assessments.append(assessment)
    if listed:
        with spool.study_lock(uid):
            spool.write_decision(uid, to_record(decide(assessments, PriorityPolicy(), 1001.0)))


def found(spool: Spool, uid: str, index: PatientIndex | None = None) -> PatientStudies:
    return others(index or PatientIndex(spool), spool, uid, 60.0)


def matches(studies: PatientStudies) -> dict[str, Match]:
    return {each.decision.study_instance_uid: each.match for each in studies.studies}


def test_the_same_id_of_the_same_issuer_is_the_same_patient(spool: Spool) -> None:
    a_study(spool, "1.1")
    a_study(spool, "1.2", marks(issuer=Issuer("north")))
    a_study(spool, "1.3", marks(issuer=SOUTH))
    a_study(spool, "1.4", marks("2"))
    a_study(spool, "1.5", listed=False)  # no result yet
    assert matches(found(spool, "1.1")) == {"1.2": Match.ISSUER}
    assert found(spool, "1.3").studies == ()


def test_an_id_without_issuer_says_so(spool: Spool) -> None:
    a_study(spool, "1.1", marks(issuer=Issuer()))
    a_study(spool, "1.2", marks(issuer=Issuer()))
    a_study(spool, "1.3")
    assert matches(found(spool, "1.1")) == {"1.2": Match.ID_ALONE, "1.3": Match.ID_ALONE}
    assert matches(found(spool, "1.3")) == {"1.1": Match.ID_ALONE, "1.2": Match.ID_ALONE}


@pytest.mark.parametrize("asked", ["1.1", "1.2", "1.3"])
def test_where_two_issuers_use_an_id_one_without_issuer_joins_neither(spool: Spool, asked: str) -> None:
    a_study(spool, "1.1", marks(issuer=Issuer()))
    a_study(spool, "1.2")
    a_study(spool, "1.3", marks(issuer=SOUTH))
    assert matches(found(spool, asked)) == {}
    assert found(spool, asked).left_out[LeftOut.AMBIGUOUS] >= 1


def test_issuers_that_cannot_be_compared_are_not_known_to_be_one(spool: Spool) -> None:
    a_study(spool, "1.1")
    a_study(spool, "1.2", marks(issuer=Issuer("", "1.2.3", "ISO")))
    assert matches(found(spool, "1.1")) == {"1.2": Match.ID_ALONE}


def test_another_birth_date_or_name_is_left_out_and_counted(spool: Spool) -> None:
    a_study(spool, "1.1")
    a_study(spool, "1.2", marks(born="19600101"))
    a_study(spool, "1.3", marks(born="", names=((mark("doe"),),)))
    a_study(spool, "1.4", marks(), marks("7"))  # of two patients
    assert matches(found(spool, "1.1")) == {"1.3": Match.ISSUER}
    assert found(spool, "1.1").left_out == {LeftOut.CONTRADICTED: 2}
    assert found(spool, "1.4").why_none is NoPatient.SEVERAL_PATIENTS


def test_an_id_that_too_many_studies_bear_and_none_at_all_are_no_patient(spool: Spool) -> None:
    for number in range(MOST_BEARERS + 2):
        a_study(spool, f"1.9.{number}", marks("0"))
    a_study(spool, "1.1", PatientMarks())
    assert found(spool, "1.9.1").why_none is NoPatient.NO_ONE_S_ID
    assert found(spool, "1.1").why_none is NoPatient.NO_ID


def test_the_index_follows_the_spool(spool: Spool) -> None:
    now = [0.0]
    index = PatientIndex(spool, clock=lambda: now[0])
    a_study(spool, "1.1")
    a_study(spool, "1.2", PatientMarks())
    assert matches(found(spool, "1.1", index)) == {}
    a_study(spool, "1.2.3")
    assert matches(found(spool, "1.1", index)) == {"1.2.3": Match.ISSUER}
    a_study(spool, "1.2", PatientMarks(), marks())  # an image that names the patient comes later
    now[0] += 60
    assert matches(found(spool, "1.1", index)) == {"1.2": Match.ISSUER, "1.2.3": Match.ISSUER}
    spool.remove_study("1.2.3")
    assert matches(found(spool, "1.1", index)) == {"1.2": Match.ISSUER}
    spool.remove_study("1.1")
    spool.remove_study("1.2")
    index.catch_up(60.0)
    assert not any((index._studies, index._digests, index._nameless, index._to_read))


def test_a_study_that_cannot_be_read_now_is_read_later_and_holds_no_other_up(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = PatientIndex(spool)
    for uid in ("1.1", "1.2", "1.3"):
        a_study(spool, uid)
    touched = spool.touched

    def away(uid: str) -> float:
        if uid == "1.2":
            raise OSError(errno.ECONNRESET, "the database is away")
        return touched(uid)

    with monkeypatch.context() as outage:
        outage.setattr(Spool, "touched", lambda _, uid: away(uid))
        for _ in range(3):
            with pytest.raises(OSError, match="away"):
                index.catch_up(60.0)
        assert index.bearing([mark("1")]) == {"1.1", "1.3"}
    assert index.catch_up(60.0) and index.bearing([mark("1")]) == {"1.1", "1.2", "1.3"}


def test_while_studies_are_still_read_the_answer_is_not_complete(spool: Spool) -> None:
    for number in range(3):
        a_study(spool, f"1.1.{number}")
    steps = iter(range(100))
    index = PatientIndex(spool, clock=lambda: float(next(steps)))  # each look at the clock is a second
    assert not others(index, spool, "1.1.1", 1.0).complete
    assert others(index, spool, "1.1.1", 50.0).complete


def test_an_image_that_was_rejected_as_another_patient_s_is_none_of_the_pictures(spool: Spool) -> None:
    a_study(spool, "1.1")
    a_study(spool, "1.2", marks(), marks())
    note = RejectionNote(WRONG_ENTRY, ("1.2.1",))
    sop = "1.2.99"
    assessment = an_assessment(study_instance_uid="1.2", sop_instance_uid=sop, rejection=note, patient=marks())
    spool.write_assessment(an_instance("1.2", sop), to_record(assessment))
    (study,) = found(spool, "1.1").studies
    assert "1.2.1" not in {each.assessment.sop_instance_uid for each in study.images}
