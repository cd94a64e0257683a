"""A report of a study whose objects are lost for good, on each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.failing_buckets import StartingBucket
from tests.support.lost_objects import LostSpool
from tests.support.redis_server import RedisServer
from tests.support.report_sender import report, station
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.decision.identity import PatientMarks
from triage.decision.types import Tag
from triage.dicom.identity import patient_marks
from triage.spool.store import Store
from triage.worklist.reader_acts import acts_of

STUDY = "1.2.3.78"

Losing = Callable[[str], Store]
"""Loses the objects of a study for good, and returns the store: it gives those of other studies."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "implementation" in metafunc.fixturenames:
        there = ["files", "files that are gone", *["postgres+s3"] * bool(metafunc.config.getoption("--cluster"))]
        metafunc.parametrize("implementation", there)


@pytest.fixture
def store(implementation: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if implementation == "postgres+s3":
        yield request.getfixturevalue("cluster").open()
        return
    yield LostSpool.open(tmp_path / "spool")


@pytest.fixture
def losing(store: Any, implementation: str, request: pytest.FixtureRequest) -> Losing:
    def lost(study: str) -> Store:
        objects = [store.stored_object(each) for each in store.objects_of(study)]
        if implementation == "postgres+s3":
            cluster = request.getfixturevalue("cluster")
            reopened: Store = cluster.open(
                StartingBucket(cluster.bucket.folder, lost=tuple(each.key for each in objects))
            )
            return reopened
        if implementation == "files that are gone":
            for each in objects:
                each.path.unlink()
        store.lost = implementation == "files"
        return store  # type: ignore[no-any-return]

    return lost


def others(spool: Any) -> None:
    """Store two studies of other orders: a bucket gives their objects."""
    for number in ("ACC-8", "ACC-9"):
        a_study(spool, attributes={"PatientID": "P-8", "AccessionNumber": number}, accession_number=number)


def test_a_report_that_cannot_be_compared_is_refused_with_the_study_and_what_to_do(
    redis_server: RedisServer, store: Any, losing: Losing, caplog: pytest.LogCaptureFixture
) -> None:
    others(store)
    study = a_study(store, patient=PatientMarks())  # as releases before marks wrote it
    lost = losing(study)
    with station(redis_server, lost) as place:  # type: ignore[arg-type]
        listed = place.listed()
        for number, way in enumerate(({"uid": study}, {"accession": "ACC-1"})):
            for patient in ("P-1", "P-2"):
                said = place.send(report(f"{number}{patient[-1]}", patient=patient, **way))
                assert said.code == "AE"
                assert study in said.text and "can be read" in said.text and "mark the study on the page" in said.text
        assert place.listed() == listed and study in listed
        assert place.counted("unreadable") == 4
    assert acts_of(lost, study) == []
    told = [each for each in caplog.records if study in each.getMessage() and ": AE, " in each.getMessage()]
    assert len(told) == 4 and {each.levelname for each in told} == {"WARNING"}
    assert "P-1" not in caplog.text


def test_what_the_assessment_knows_of_the_patient_is_compared(
    redis_server: RedisServer, store: Any, losing: Losing
) -> None:
    others(store)
    image = a_radiograph(STUDY, IssuerOfPatientID="HOSPITAL")
    add_image(store, image, tag=Tag.ABNORMAL, probability=0.9, patient=patient_marks(image))
    settle(store, STUDY)
    with station(redis_server, losing(STUDY)) as place:  # type: ignore[arg-type]
        assert place.send(report("1", patient="P-2", uid=STUDY)).code == "AE"
        assert place.send(report("2", patient="P-1^^^ELSEWHERE~P-1", uid=STUDY)).code == "AA"
        assert (place.counted("other_patient"), place.counted("read")) == (1, 1)
