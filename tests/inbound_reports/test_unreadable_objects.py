"""Reports for studies of which an object is lost for good: compared with what is known, or matched not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inbound_reports.test_early_report import ago, taken
from tests.support.redis_server import RedisServer
from tests.support.report_sender import order, report, station
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.spool.spool import Spool

STUDY = "1.2.3.78"


def two_images(spool: Spool, **second: Any) -> str:
    """Store a study of two images, the first of which is lost by ``lose_first``; its Study Instance UID.

    Their assessments know nothing of the patient, as those of releases before marks.
    """
    for more in ({}, second):
        add_image(spool, a_radiograph(STUDY, **more), tag=Tag.ABNORMAL, probability=0.9, patient=PatientMarks())
    settle(spool, STUDY)
    return STUDY


def lose_first(spool: Spool, study: str) -> None:
    first = min(spool.assessments(study), key=lambda each: float(str(each["received_at"])))["sop_instance_uid"]
    for each in spool.objects_of(study):
        stored = spool.stored_object(each)
        if each.sop_instance_uid == first and stored is not None:
            stored.path.unlink()  # type: ignore[attr-defined]


def test_another_image_of_the_study_says_of_which_patient_it_is(redis_server: RedisServer, spool: Spool) -> None:
    study = two_images(spool)
    lose_first(spool, study)
    with station(redis_server, spool) as place:
        assert place.send(report("1", patient="P-2", uid=study)).code == "AE"
        assert (place.counted("other_patient"), place.listed()) == (1, {study})
        assert place.send(report("2", patient="P-1", uid=study)).code == "AA"
        assert place.listed() == set()


def test_another_image_that_names_no_patient_leaves_it_unknown(redis_server: RedisServer, spool: Spool) -> None:
    study = two_images(spool, PatientID="")
    lose_first(spool, study)
    with station(redis_server, spool) as place:
        assert place.send(report("1", patient="P-1", uid=study)).code == "AE"
        assert (place.counted("unreadable"), place.listed()) == (1, {study})


def test_a_report_without_a_patient_is_taken_where_the_site_takes_them(redis_server: RedisServer, spool: Spool) -> None:
    study = two_images(spool, PatientID="")
    lose_first(spool, study)
    with station(redis_server, spool, patient_required=False) as place:
        assert place.send(report("1", patient="P-1", uid=study)).code == "AE"
        assert place.send(report("2", patient="", uid=study)).code == "AA"
        assert place.listed() == set()


def test_one_number_of_two_studies_of_which_one_cannot_be_read_takes_off_neither(
    redis_server: RedisServer, spool: Spool
) -> None:
    whole, broken = a_study(spool), a_study(spool, patient=PatientMarks())
    lose_first(spool, broken)
    with station(redis_server, spool, order_statuses=("CM",)) as place:
        assert place.send(report("1")).code == "AE"
        said = place.send(order("2", "SC", "CM"))
        assert said.code == "AE" and broken in said.text and whole not in said.text
        assert place.listed() == {whole, broken}
        assert place.send(report("3", uid=whole)).code == "AA"
        assert place.listed() == {broken}


@pytest.mark.parametrize("lost", [False, True])
def test_a_remembered_report_takes_off_no_study_whose_patient_is_unknown(
    redis_server: RedisServer, spool: Spool, lost: bool
) -> None:
    """Its radiograph names no patient, and a document that counts in no tag cannot be read."""
    with station(redis_server, spool) as place:
        assert place.send(report("1", patient="P-2", uid=STUDY, obr22=ago(60))).code == "AA"
        document = a_radiograph(STUDY, PatientID="")
        add_image(spool, document, tag=Tag.NOT_ASSESSED, probability=None, reasons=(Reason.NOT_A_RADIOGRAPH,))
        add_image(spool, a_radiograph(STUDY, PatientID="", **taken(120)), tag=Tag.ABNORMAL, probability=0.9)
        settle(spool, STUDY)
        if lost:
            lose_first(spool, STUDY)
        place.index_all()
        assert place.match() == (0 if lost else 1)
        assert place.listed() == ({STUDY} if lost else set())


def test_a_remembered_report_takes_off_none_of_a_number_of_which_one_study_cannot_be_read(
    redis_server: RedisServer, spool: Spool
) -> None:
    whole, broken = "1.2.3.79", "1.2.3.80"
    with station(redis_server, spool) as place:
        assert place.send(report("1", obr22=ago(60))).code == "AA"
        for study in (whole, broken):
            add_image(spool, a_radiograph(study, **taken(120)), tag=Tag.ABNORMAL, probability=0.9)
            settle(spool, study)
        lose_first(spool, broken)
        place.index_all()
        assert place.match() == 0
        assert place.listed() == {whole, broken}
