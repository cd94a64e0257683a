"""Workitems that a foreign UPS manager calls completed, asked for over real associations."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.channels.test_ups import a_deliverer
from tests.support.certificates import authority, server_context
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.ups_manager import PUSH, Manager, ups_manager
from triage.channels.ups.settings import UPSDestination
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.dicom.identity import patient_marks
from triage.dicom.requestor import RemoteAE
from triage.errors import UnreachableError
from triage.inbound_reports import ups_watcher
from triage.inbound_reports.ups_watcher import Watcher, watchers_of
from triage.metrics.reports import ReportMetrics
from triage.queue.score_queue import connect
from triage.spool.errors import LockedError
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, acts_of
from triage.worklist.site_claims import site_claim
from triage.worklist.workitem_performer import PERFORMED

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def index(redis_server: RedisServer) -> Iterator[IndexedWorklist]:
    with connect(redis_server.url, 5.0) as client:
        yield IndexedWorklist(client)


def looking(spool: Spool, index: IndexedWorklist, port: int) -> Watcher:
    index.put_all(decision_from(each) for each in spool.decisions())
    peer = RemoteAE("127.0.0.1", port, "MANAGER", "CXR_TRIAGE", 5.0)
    return Watcher("ups", peer, spool, index, ReportMetrics(CollectorRegistry()))


def listed(index: IndexedWorklist) -> list[str]:
    return [each.study_instance_uid for each in index.page(None, 100, 4e9).entries]


def finish(manager: Manager, study: str, state: str = "COMPLETED", **step: Any) -> None:
    (workitem,) = [each for each in manager.workitems.values() if each.StudyInstanceUID == study]
    workitem.ProcedureStepState = state
    item = Dataset()
    for keyword, value in step.items():
        setattr(item, keyword, value)
    workitem.UnifiedProcedureStepPerformedProcedureSequence = [item] if step else []


def test_what_the_manager_completed_leaves_the_list_and_what_it_canceled_does_not(
    spool: Spool, index: IndexedWorklist
) -> None:
    read, canceled, waits = (a_study(spool, "ups", tag=Tag.NORMAL) for _ in range(3))
    person = Dataset()
    person.HumanPerformerName = "Lee^Ann"
    with ups_manager() as manager:
        a_deliverer(spool, manager.port).round()
        watcher = looking(spool, index, manager.port)
        assert watcher.poll() == 0
        finish(manager, read, ActualHumanPerformersSequence=[person])
        finish(manager, canceled, "CANCELED")
        assert watcher.poll() == 1
        assert watcher.poll() == 0

    assert listed(index) == [canceled, waits]
    (step,) = acts_of(spool, read)
    assert (step.act, step.who, step.through) == (Act.READ, "Lee Ann", "ups")
    assert step.source in manager.workitems
    assert watcher.metrics.workitems_completed.labels("ups")._value.get() == 1


def test_a_claim_at_the_manager_is_kept_while_polls_show_it_and_not_beyond(
    spool: Spool, index: IndexedWorklist
) -> None:
    claimed, free = (a_study(spool, "ups", tag=Tag.NORMAL) for _ in range(2))
    with ups_manager() as manager:
        a_deliverer(spool, manager.port).round()
        watcher = looking(spool, index, manager.port)
        watcher.poll()
        assert site_claim(spool, claimed, time.time()) is None
        room = Dataset()
        room.CodeValue, room.CodingSchemeDesignator, room.CodeMeaning = "R1", "99SITE", "Reading room 1"
        finish(manager, claimed, "IN PROGRESS", PerformedStationNameCodeSequence=[room])
        before = index.changes()
        assert watcher.poll() == 0
        first = site_claim(spool, claimed, time.time())
        assert first is not None and (first.manager, first.by) == ("ups", "Reading room 1")
        assert index.changes() > before  # open pages are told
        again = index.changes()
        watcher.poll()
        assert site_claim(spool, claimed, time.time()) == first and index.changes() == again
        assert site_claim(spool, claimed, first.until) is None  # polls have shown it no more
        later = replace(watcher, now=lambda: first.until - 1)
        later.poll()
        renewed = site_claim(spool, claimed, first.until)
        assert renewed is not None and renewed.at == first.at
        assert site_claim(spool, free, time.time()) is None
        assert listed(index) == [claimed, free]
        finish(manager, claimed)
        assert later.poll() == 1
        assert site_claim(spool, claimed, first.until) is None


def test_a_manager_that_speaks_tls_is_looked_at_over_tls(spool: Spool, index: IndexedWorklist, tmp_path: Path) -> None:
    ca, study, looked = authority(tmp_path), a_study(spool, "ups", tag=Tag.NORMAL), list[float]()
    index.put_all(decision_from(each) for each in spool.decisions())
    with ups_manager(tls=server_context(ca.certificate("manager"))) as manager:
        deliverer = a_deliverer(spool, manager.port, tls=True, tls_ca_file=ca.path, look_s=1.0)
        deliverer.round()
        finish(manager, study)
        assert isinstance(deliverer.destination, UPSDestination)
        metrics, stopping = ReportMetrics(CollectorRegistry()), lambda: bool(looked)
        (watch,) = watchers_of([deliverer.destination], spool, index, metrics, stopping, looked.append)
        watch()

    assert metrics.workitem_looks.labels("ups", "ok")._value.get() == 1
    assert listed(index) == []


def test_a_workitem_that_was_finished_before_the_newest_image_leaves_the_study_listed(
    spool: Spool, index: IndexedWorklist
) -> None:
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        finish(manager, study, PerformedProcedureStepEndDateTime="20200101101500+0000")
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(spool, study, "ups")
        deliverer.round()  # a final workitem: the raise makes another
        watcher = looking(spool, index, manager.port)
        assert watcher.poll() == 0
        assert listed(index) == [study]
        (open_now,) = [each for each in manager.workitems.values() if each.ProcedureStepState == "SCHEDULED"]
        open_now.ProcedureStepState = "COMPLETED"
        assert watcher.poll() == 1

    assert listed(index) == []
    assert [each.act for each in acts_of(spool, study)] == [Act.OUTDATED, Act.READ]


@pytest.mark.parametrize("final", [True, False])
def test_a_workitem_that_was_finished_nobody_says_when_is_of_the_images_that_it_was_made_or_changed_for(
    spool: Spool, index: IndexedWorklist, final: bool
) -> None:
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port, delay_s=0.0)
        deliverer.now = time.time
        deliverer.round()
        if final:
            finish(manager, study)
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(spool, study, "ups")
        deliverer.round()  # of a final workitem the raise makes another; one that is open it changes
        if not final:
            finish(manager, study)
        watcher = looking(spool, index, manager.port)
        assert watcher.poll() == (not final)
    assert listed(index) == ([study] if final else [])
    assert [step.act for step in acts_of(spool, study)] == [Act.OUTDATED if final else Act.READ]


def test_no_manager_completes_a_study_of_two_patients(spool: Spool, index: IndexedWorklist) -> None:
    study = str(generate_uid())
    for patient in ("P-1", "P-2"):
        image = a_radiograph(study, PatientID=patient)
        add_image(spool, image, tag=Tag.NORMAL, probability=0.1, patient=patient_marks(image))
    settle(spool, study, "ups")
    with ups_manager() as manager:
        a_deliverer(spool, manager.port).round()
        finish(manager, study)
        watcher = looking(spool, index, manager.port)
        assert (watcher.poll(), watcher.poll()) == (0, 0)
    assert listed(index) == [study]
    assert [each.act for each in acts_of(spool, study)] == [Act.IN_DOUBT]


def test_a_manager_that_is_away_or_takes_no_pull_takes_nothing_off_the_list(
    spool: Spool, index: IndexedWorklist
) -> None:
    study = a_study(spool, "ups")
    with ups_manager((PUSH,)) as manager:
        a_deliverer(spool, manager.port).round()
        finish(manager, study)
        with pytest.raises(UnreachableError):
            looking(spool, index, manager.port).poll()
    with pytest.raises(UnreachableError):
        looking(spool, index, free_port()).poll()
    assert listed(index) == [study]


@pytest.mark.parametrize("vr", ["LO", "LT"])
def test_a_workitem_with_an_odd_performer_keeps_no_other_from_leaving_the_list(
    spool: Spool, index: IndexedWorklist, vr: str
) -> None:
    for _ in range(2):
        a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        a_deliverer(spool, manager.port).round()
        odd, other = manager.workitems.values()
        odd.ProcedureStepState = other.ProcedureStepState = "COMPLETED"
        odd[PERFORMED] = DataElement(tag_for_keyword(PERFORMED), vr, "Lee^Ann")
        assert looking(spool, index, manager.port).poll() == 2
    assert listed(index) == []


@pytest.mark.parametrize("why", ["its records are broken", "another process holds it"])
def test_one_study_keeps_no_other_s_completed_workitem_from_being_noticed(
    spool: Spool, index: IndexedWorklist, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    with ups_manager() as manager:
        studies = [a_study(spool, "ups", tag=Tag.NORMAL) for _ in range(3)]
        a_deliverer(spool, manager.port).round()
        watcher = looking(spool, index, manager.port)
        for each in studies:
            finish(manager, each)
        with monkeypatch.context() as patched:
            if why == "its records are broken":
                record = spool.study_folder(studies[1]) / "deliveries" / "ups+0001.json"
                content = record.read_bytes()
                record.write_text("{")
            else:
                note = ups_watcher.reading.record_notice
                patched.setattr(
                    ups_watcher.reading,
                    "record_notice",
                    lambda *of: _held() if of[2] == studies[1] else note(*of),
                )
            assert watcher.poll() == 2 and listed(index) == [studies[1]]
        if why == "its records are broken":
            record.write_bytes(content)
        assert watcher.poll() == 1 and listed(index) == []


def _held() -> Any:
    raise LockedError(errno.EAGAIN, "a row of the database is locked")
