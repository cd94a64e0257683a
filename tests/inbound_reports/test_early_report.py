"""Reports that come before their images: what they take off the list when the study comes, and above all what not."""

from __future__ import annotations

import errno
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.support.lost_objects import LostSpool
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Station, report, station
from tests.support.studies import a_radiograph, add_image, settle
from triage.decision.identity import Issuer
from triage.decision.types import Tag
from triage.dicom.identity import patient_marks
from triage.inbound_reports.early_report import Arrived, EarlyReport, acquired_at, covers, digest
from triage.inbound_reports.early_store import FOLDER, EarlyReportStore
from triage.runtime.progress import ProgressWatch
from triage.spool.errors import LockedError
from triage.spool.spool import Spool
from triage.worklist import reader_acts
from triage.worklist.reader_acts import Act, Marking, Via, acts_of, mark

HOUR = 3600.0
REPORT = EarlyReport("", ("ACC-1",), (digest("P-1", "x"),), at=1000.0, heard_at=1001.0, who="Lee", source="RIS|H|1")
STUDY = Arrived("1.2.3", "ACC-1", digest("p-1", "x"), acquired=(900.0, 1000.0))


def test_which_study_a_report_is_of_that_came_before_it() -> None:
    by_uid = replace(REPORT, study_instance_uid="1.2.3", accession_numbers=(), patients=())
    assert covers(REPORT, STUDY)
    assert covers(by_uid, STUDY)
    assert covers(by_uid, replace(STUDY, accession_number="", patient=""))
    assert covers(replace(REPORT, issuers=("North",)), replace(STUDY, issuer=Issuer("NORTH")))
    assert covers(replace(REPORT, issuers=("",)), replace(STUDY, issuer=Issuer("NORTH")))
    assert covers(replace(REPORT, accession_issuers=("North",)), replace(STUDY, accession_issuer=Issuer("NORTH")))
    assert covers(replace(REPORT, accession_issuers=("SOUTH",)), STUDY)
    several = replace(STUDY, accession_number="ACC-0\\ACC-1")
    assert covers(replace(by_uid, accession_numbers=("ACC-1",)), several)
    assert not covers(REPORT, several)  # one of its orders is reported: who knows of the other
    for doubtful in (
        (REPORT, replace(STUDY, acquired=(900.0, 1001.0))),  # an image that the reporter cannot have seen
        (REPORT, replace(STUDY, acquired=(900.0, None))),
        (REPORT, replace(STUDY, acquired=())),
        (REPORT, replace(STUDY, patient=digest("P-2", "x"))),
        (REPORT, replace(STUDY, patient="")),
        (replace(by_uid, patients=REPORT.patients), replace(STUDY, patient="", is_unknown=True)),
        (REPORT, replace(STUDY, accession_number="ACC-2")),
        (replace(REPORT, accession_numbers=("",)), replace(STUDY, accession_number="", patient="")),
        (replace(REPORT, patients=()), STUDY),
        (replace(REPORT, patients=("",)), STUDY),
        (replace(REPORT, study_instance_uid="1.2.4"), STUDY),  # of another study of the same order
        (replace(by_uid, accession_numbers=("ACC-2",)), STUDY),
        (replace(by_uid, accession_numbers=("ACC-2",)), several),
        (replace(by_uid, patients=(digest("P-2", "x"),)), STUDY),
        (replace(by_uid, at=899.0), STUDY),
        (replace(REPORT, issuers=("SOUTH",)), replace(STUDY, issuer=Issuer("NORTH"))),  # another hospital's P-1
        (replace(by_uid, patients=REPORT.patients, issuers=("SOUTH",)), replace(STUDY, issuer=Issuer("NORTH"))),
        (replace(REPORT, accession_issuers=("SOUTH",)), replace(STUDY, accession_issuer=Issuer("NORTH"))),
        (
            replace(by_uid, accession_numbers=("ACC-1",), accession_issuers=("SOUTH",)),
            replace(STUDY, accession_issuer=Issuer("NORTH")),
        ),
    ):
        assert not covers(*doubtful), doubtful


def test_when_an_image_was_taken() -> None:
    image = Dataset()
    assert acquired_at(image) is None
    image.StudyDate, image.StudyTime = "20260301", "101500"
    image.AcquisitionDate = "20260301"
    assert acquired_at(image) is None, "a day is not enough"
    image.AcquisitionTime, image.TimezoneOffsetFromUTC = "101500.25", "+0100"
    assert acquired_at(image) == 1772356500.0
    image.ContentDate, image.ContentTime = "20260301", "1020"
    assert acquired_at(image) == 1772356800.0, "the latest of them"
    image.AcquisitionDateTime = "20260301101700-0500"
    assert acquired_at(image) == 1772378220.0


def taken(ago_s: float, **more: Any) -> dict[str, Any]:
    """Attributes of an image that was taken so long ago."""
    at = time.gmtime(time.time() - ago_s)
    day, clock = time.strftime("%Y%m%d", at), time.strftime("%H%M%S", at)
    said = {f"{name}Date": day for name in ("Acquisition", "Content")}
    said |= {f"{name}Time": clock for name in ("Acquisition", "Content")}
    return {**said, "AcquisitionDateTime": None, "TimezoneOffsetFromUTC": "+0000", **more}


def arrive(place: Station, study: str = "", tag: Tag = Tag.NORMAL, **attributes: Any) -> str:
    """An image of a study comes, and is tagged and listed."""
    study = study or str(generate_uid())
    add_image(place.spool, a_radiograph(study, **attributes), tag=tag, probability=0.1 if tag is Tag.NORMAL else 0.9)
    settle(place.spool, study)
    place.index_all()
    return study


def ago(seconds: float) -> str:
    return time.strftime("%Y%m%d%H%M%S+0000", time.gmtime(time.time() - seconds))


def test_a_study_that_was_reported_before_it_came_leaves_the_list(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool) as place:
        said = place.send(report("5", obr22=ago(HOUR), obr32="7&Lee&Ann", name="SECRET^JANE"))
        assert (said.code, place.counted("remembered")) == ("AA", 1)
        assert place.send(report("5", obr22=ago(HOUR))).code == "AA"  # again: one report
        (kept,) = (spool.root / FOLDER).iterdir()
        assert "SECRET" not in kept.read_text() and "P-1" not in kept.read_text()
        assert place.match() == 0

        study = arrive(place, **taken(2 * HOUR))
        other = arrive(place, **taken(2 * HOUR, PatientID="P-2"))
        assert place.match() == 1
        assert (place.listed(), place.counted("early")) == ({other}, 1)
        (step,) = acts_of(spool, study)
        assert (step.act, step.who, step.through) == (Act.READ, "Ann Lee", Via.EARLY_REPORT)
        assert step.source == "RIS|HOSPITAL|5"
        place.index_all()
        assert place.match() == 0

        arrive(place, study, tag=Tag.ABNORMAL, **taken(1.5 * HOUR))  # the second image of two, reported with the first
        assert study in place.listed()
        assert place.match() == 1
        assert place.listed() == {other}
        arrive(place, study, tag=Tag.ABNORMAL, **taken(0.5 * HOUR))  # and one that nobody has seen
        assert place.match() == 0
        assert place.listed() == {other, study}
        assert place.send(report("5", obr22=ago(HOUR))).code == "AA"
        assert place.counted("repeated") == 1
        assert place.listed() == {other, study}


def test_the_report_of_an_older_study_hides_no_new_one(redis_server: RedisServer, spool: Spool) -> None:
    """The same accession number and patient, and whatever else may be wrong: it stays on the list."""
    with station(redis_server, spool) as place:
        place.send(report("1", obr22=ago(2 * HOUR)))
        older = str(generate_uid())
        place.send(report("2", uid=older, accession="ACC-7", obr22=ago(60)))
        studies = {
            arrive(place, **taken(HOUR)),
            arrive(place, **taken(HOUR, AccessionNumber="ACC-7")),
            arrive(place, older, **taken(HOUR, AccessionNumber="ACC-8")),
            arrive(place, **taken(3 * HOUR, PatientID="")),
            arrive(place, **taken(3 * HOUR, AcquisitionTime=None, ContentTime=None)),
        }
        assert place.match() == 0
        assert place.listed() == studies
        assert all(acts_of(spool, study) == [] for study in studies)


def test_where_two_hospitals_gave_both_numbers_a_remembered_report_is_of_neither(
    redis_server: RedisServer, spool: Spool
) -> None:
    with station(redis_server, spool) as place:
        place.send(report("1", obr22=ago(HOUR)).replace("P-1^^^HOSPITAL^MR", "P-1^^^^MR"))
        studies = {arrive(place, **taken(2 * HOUR, IssuerOfPatientID=each)) for each in ("NORTH", "SOUTH")}
        assert place.match() == 0
        assert place.listed() == studies
        place.send(report("2", obr22=ago(HOUR)).replace("P-1^^^HOSPITAL^MR", "P-1^^^NORTH^MR"))
    assert sum(bool(acts_of(spool, study)) for study in studies) == 1


def test_a_study_instance_uid_is_enough_and_a_reader_has_the_last_word(redis_server: RedisServer, spool: Spool) -> None:
    study = str(generate_uid())
    with station(redis_server, spool, patient_required=False) as place:
        place.send(report("1", uid=study, accession="", patient=""))
        arrive(place, study, **taken(60))
        assert place.match() == 1
        mark(spool, place.index, study, Marking(Act.UNREAD, time.time(), "Kim", Via.PAGE))
        place.index_all()
        assert place.match() == 0
        arrive(place, study, tag=Tag.ABNORMAL, **taken(50))
        assert place.match() == 0
        assert place.listed() == {study}


@pytest.mark.parametrize("nothing", [{"accession": "", "patient": "P-1"}, {"patient": ""}, {"status": "P"}])
def test_what_says_too_little_is_not_remembered(
    redis_server: RedisServer, spool: Spool, nothing: dict[str, str]
) -> None:
    with station(redis_server, spool, patient_required=False) as place:
        assert place.send(report(**nothing)).code == "AA"
        assert place.counted("remembered") == 0
        assert list((spool.root / FOLDER).iterdir()) == []


def test_a_report_that_names_no_patient_is_not_remembered_where_one_is_required(
    redis_server: RedisServer, spool: Spool
) -> None:
    with station(redis_server, spool) as place:
        assert place.send(report(patient="", uid="1.2.3")).code == "AE"
        assert list((spool.root / FOLDER).iterdir()) == []


def test_it_survives_a_restart_and_a_redis_that_is_away(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool) as place:
        place.send(report("1", obr22=ago(HOUR)))
    (spool.root / FOLDER / "nonsense.json").write_text("{")
    with station(redis_server, spool) as place:
        study = arrive(place, **taken(2 * HOUR))
        redis_server.kill()
        with pytest.raises(Exception, match=r"[Cc]onnect"):
            place.match()
        redis_server.start()
        assert place.match() == 0  # the index is not whole
        token = place.index.begin_building()
        place.index_all()
        place.index.end_building(token)
        assert place.match() == 1
        assert place.listed() == set()
    assert [each.act for each in acts_of(spool, study)] == [Act.READ]


def test_it_is_remembered_for_a_bounded_time_and_number(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    with station(redis_server, spool, remember_at_most=2) as place:
        for number in range(3):
            place.send(report(str(number), accession=f"ACC-{number}"))
        names = [json.loads(each.read_text())["accession_numbers"] for each in sorted((spool.root / FOLDER).iterdir())]
        assert names == [["ACC-1"], ["ACC-2"]]
        assert "the oldest go" in caplog.text
    with station(redis_server, spool, remember_hours=1e-9) as place:
        place.match()
        assert list((spool.root / FOLDER).iterdir()) == []
        arrive(place, **taken(HOUR, AccessionNumber="ACC-1"))
        assert place.match() == 0


@pytest.mark.parametrize(("issuer", "listed"), [("NORTH", 0), ("SOUTH", 1)])
def test_an_early_report_keeps_who_issued_its_accession_number(
    redis_server: RedisServer, spool: Spool, issuer: str, listed: int
) -> None:
    number = Dataset()
    number.LocalNamespaceEntityID = "NORTH"
    with station(redis_server, spool) as place:
        early = report(place=3, accession=f"ACC-1^{issuer}", obr22=ago(HOUR))
        assert (place.send(early).code, place.counted("remembered")) == ("AA", 1)
    with station(redis_server, spool) as place:  # read from the disk again
        arrive_issued(place, number)
        place.match()
        assert len(place.listed()) == listed


def arrive_issued(place: Station, issuer: Dataset) -> None:
    """A study that came with who issued its accession number."""
    study = str(generate_uid())
    image = a_radiograph(study, IssuerOfAccessionNumberSequence=[issuer], **taken(2 * HOUR))
    add_image(place.spool, image, tag=Tag.NORMAL, probability=0.1, accession_issuer=issuer.LocalNamespaceEntityID)
    settle(place.spool, study)
    place.index_all()


def test_an_early_report_of_one_patient_hides_no_study_of_two(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool) as place:
        place.send(report(obr22=ago(HOUR)))
        study = str(generate_uid())
        for patient in ("P-1", "P-2"):
            image = a_radiograph(study, PatientID=patient, **taken(2 * HOUR))
            add_image(spool, image, tag=Tag.NORMAL, probability=0.1, patient=patient_marks(image))
        settle(spool, study)
        place.index_all()
        assert (place.match(), place.listed()) == (0, {study})


def test_what_one_host_heard_the_other_one_matches_and_both_forget(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool) as leader, station(redis_server, spool) as standby:
        assert standby.send(report("5", obr22=ago(HOUR))).code == "AA"
        assert leader.send(report("5", obr22=ago(HOUR))).code == "AA"  # the same message, sent to both
        assert len(list((spool.root / FOLDER).iterdir())) == 1
        study = arrive(leader, **taken(2 * HOUR))
        assert leader.match() == 1
        assert [step.through for step in acts_of(spool, study)] == [Via.EARLY_REPORT]
        for kept in (spool.root / FOLDER).iterdir():
            kept.unlink()  # as the leader does when it is too old
        assert standby.send(report("6", obr22=ago(HOUR), accession="ACC-9")).code == "AA"
        assert len(list((spool.root / FOLDER).iterdir())) == 1
        assert leader.match() == 0


# A study that cannot be read.


def test_an_object_that_could_not_be_read_once_makes_no_report_unmatched(
    redis_server: RedisServer, spool: Spool
) -> None:
    lost = LostSpool.open(spool.root)
    with station(redis_server, lost) as place:
        place.send(report("5", obr22=ago(HOUR)))
        place.send(report("6", obr22=ago(HOUR), accession="ACC-6"))
        study = arrive(place, **taken(2 * HOUR))
        lost.lost_studies = frozenset({study})
        other = arrive(place, **taken(2 * HOUR, AccessionNumber="ACC-6"))
        assert place.match() == 1 and place.listed() == {study}  # and holds up no other
        later(place, 60.0)
        assert place.match() == 0
        lost.lost_studies = frozenset()
        assert place.match() == 0  # in its pause
        later(place, 120.0)
        assert place.match() == 1 and place.listed() == set()
    assert [step.act for uid in (study, other) for step in acts_of(spool, uid)] == [Act.READ] * 2


def later(place: Station, seconds: float) -> None:
    """Set the clock of what is remembered."""
    assert isinstance(place.memory, EarlyReportStore)
    place.memory._now = lambda: time.time() + seconds


@pytest.mark.parametrize("error", [LockedError(errno.EAGAIN, "held"), KeyError("tag")])
def test_a_study_that_is_held_or_broken_keeps_no_other_from_its_report(
    redis_server: RedisServer, spool: Spool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with station(redis_server, spool) as place:
        place.send(report("5", obr22=ago(HOUR)))
        place.send(report("6", obr22=ago(HOUR), accession="ACC-6"))
        study, other = (arrive(place, **taken(2 * HOUR, AccessionNumber=each)) for each in ("ACC-1", "ACC-6"))
        with monkeypatch.context() as patched:
            acts = reader_acts.acts_of
            patched.setattr(
                reader_acts, "acts_of", lambda spool, uid: _raise(error) if uid == study else acts(spool, uid)
            )
            assert place.match() == 1 and place.listed() == {study}
        later(place, 60.0)
        assert place.match() == 1 and place.listed() == set()
    assert [step.act for uid in (study, other) for step in acts_of(spool, uid)] == [Act.READ] * 2


def _raise(error: Exception) -> Any:
    raise error


def test_a_host_that_gets_no_objects_says_so_at_each_try(redis_server: RedisServer, spool: Spool) -> None:
    """It leads, and another one may be able to: see ``Leadership.gives_way``."""
    lost = LostSpool.open(spool.root)
    with station(redis_server, lost) as place:
        place.send(report("5", obr22=ago(HOUR)))
        arrive(place, **taken(2 * HOUR))
        lost.lost = lost.away = True
        failures = []
        progress = ProgressWatch("matching", 60.0)
        place.memory.watch(lambda: len(failures) == 2, lambda _: failures.append(progress.failures), progress)
        assert None not in failures
        lost.lost = lost.away = False
        place.memory.watch(lambda: len(failures) == 3, lambda _: failures.append(progress.failures), progress)
        assert failures[-1] is None and place.listed() == set()
