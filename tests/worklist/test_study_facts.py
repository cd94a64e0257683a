"""Facts of a study, from objects in a real spool."""

from __future__ import annotations

import os
import time

import pytest
from pydicom.dataset import Dataset

from tests.support.service import a_chest, receive
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.dicom.dx_image import part10
from triage.spool import silence
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.study_facts import UNKNOWN, acquired_at, facts_of
from triage.worklist.untagged import untagged


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"AcquisitionDateTime": "20260102030405.5+0100"}, 1767319445.0),
        ({"AcquisitionDateTime": "20260102030405", "TimezoneOffsetFromUTC": "+0100"}, 1767319445.0),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "0304", "TimezoneOffsetFromUTC": "+0000"}, 1767323040.0),
        ({"ContentDate": "20260102", "ContentTime": "030405", "TimezoneOffsetFromUTC": "-0500"}, 1767341045.0),
        ({"AcquisitionDateTime": "2026", "ContentDate": "20260102", "ContentTime": "03"}, None),
        ({"AcquisitionDate": "20260102"}, None),
        ({"AcquisitionTime": "030405"}, None),
        ({}, None),
    ],
)
def test_an_acquisition_is_timed_in_the_zone_that_the_object_states(
    attributes: dict[str, str], wanted: float | None
) -> None:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    assert acquired_at(header) == wanted


def test_an_acquisition_without_a_zone_is_of_this_machine_s() -> None:
    header = Dataset()
    header.AcquisitionDate, header.AcquisitionTime = "20260102", "030405"
    assert acquired_at(header) == time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))


def test_each_fact_is_of_the_first_image_that_states_it(spool: Spool) -> None:
    study = a_study(
        spool, view="PA", age_years=None, attributes={"PatientName": "", "PatientID": "", "StudyDescription": ""}
    )
    more = {"PatientName": "ROE^JANE", "StudyDescription": "Chest", "CurrentPatientLocation": "ICU"}
    add_image(spool, a_radiograph(study, **more, ReferringPhysicianName="WHO^DR"), view="LATERAL", age_years=7.0)
    settle(spool, study)
    facts = facts_of(spool, study)
    assert (facts.patient_name, facts.patient_id, facts.study_description) == ("ROE^JANE", "P-1", "Chest")
    assert (facts.view, facts.age_years, facts.location, facts.referrer) == ("PA, LATERAL", 7.0, "ICU", "WHO^DR")
    assert facts.acquired_at is not None
    assert "ROE" not in repr(facts) and "P-1" not in repr(facts)


def test_a_study_with_records_that_cannot_be_read_has_no_facts(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    study = a_study(spool)
    for record in spool.study_folder(study).glob("*+*.json"):
        record.write_text('{"tag": "ODD"}')
    assert facts_of(spool, study) == UNKNOWN
    assert study in caplog.text


def test_studies_without_a_result_are_listed_by_arrival(spool: Spool) -> None:
    late, early = _waiting(spool, a_chest(1), 2000), _waiting(spool, a_chest(2), 1000)
    tagged = a_study(spool)
    _waiting(spool, part10(a_radiograph(tagged)), 500)  # a further image of a study that has a result
    damaged = _waiting(spool, a_chest(3), 3000)
    spool.inbox_path(damaged).write_bytes(b"no DICOM")
    os.utime(spool.inbox_path(damaged), (3000, 3000))
    found, count = untagged(spool, 2)
    assert [(each.study_instance_uid, each.received_at) for each in found] == [
        (early.study_instance_uid, 1000.0),
        (late.study_instance_uid, 2000.0),
    ]
    assert count == 3
    assert (found[0].facts.patient_name, found[0].accession_number) == ("PHANTOM^CHEST", "A2")
    assert untagged(spool, 9)[0][2].facts == UNKNOWN
    silence.switch(spool, True, 1.0)
    assert untagged(spool, 9) == ([], 0)


def _waiting(spool: Spool, file: bytes, at: int) -> ReceivedInstance:
    """Receive an object that waits since ``at``."""
    instance = receive(spool, file)
    os.utime(spool.inbox_path(instance), (at, at))
    return instance
