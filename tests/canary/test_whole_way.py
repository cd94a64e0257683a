"""`triage canary` through real processes: listener, Redis, worker, deliverer, a DICOM and an MLLP receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO

import pytest
from pydicom import dcmread

from tests.support.canary_service import Site, passed, site, stuck
from tests.support.dicom_peer import store
from tests.support.mllp_listener import acknowledging
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.canary.partition import last_success
from triage.delivery.outbox import Outbox
from triage.queue.score_queue import ScoreQueue, connect
from triage.worklist.index import IndexedWorklist

LISTEN, WORK, DELIVER = free_port(), free_port(), free_port()
ALL = {"stored", "queued", "scored", "decided", "delivered:pacs", "delivered:ris"}
COUNTED = {
    LISTEN: (
        "cxr_triage_objects_received_total",
        "cxr_triage_received_bytes_total",
        "cxr_triage_store_duration_seconds_count",
        "cxr_triage_last_object_timestamp_seconds",
    ),
    WORK: (
        "cxr_triage_jobs_taken_total",
        "cxr_triage_images_total",
        "cxr_triage_study_decisions_total",
        "cxr_triage_time_to_tag_seconds_count",
        "cxr_triage_score_count",
        "cxr_triage_distance_ratio_count",
        "cxr_triage_batch_size_count",
        "cxr_triage_stage_duration_seconds_count",
    ),
    DELIVER: (
        "cxr_triage_deliveries_built_total",
        "cxr_triage_delivery_attempts_total",
        "cxr_triage_time_to_delivery_seconds_count",
    ),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site at which everything runs."""
    ports = {f"{name}_metrics_port": str(port) for name, port in (("listener", LISTEN), ("worker", WORK))}
    with (
        RedisServer() as server,
        site(tmp_path_factory.mktemp("site"), server.url, **ports, deliver_metrics_port=str(DELIVER)) as made,
    ):
        made.start("work", "deliver", "sweep", "listen")
        yield made


def counted(port: int, *names: str) -> dict[str, float]:
    """The sums of what a process has counted under each of the names."""
    status, text = fetch(port, "/metrics")
    assert status == 200
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        name: sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)
        for name in names
    }


def test_it_comes_out_everywhere_and_says_what_it_is(ours: Site) -> None:
    done = ours.fly()
    assert done.returncode == 0, done.stdout + done.stderr + ours.logs()
    assert passed(done)[:4] == ["stored", "queued", "scored", "decided"]
    assert set(passed(done)) == ALL
    assert "NORMAL 0.000 by tiny-adult 1" in done.stdout
    assert last_success(ours.partition) > 0

    (message,) = ours.ris.received
    assert ours.ris.fields("MSH")[10] == "T"
    assert ours.ris.fields("PID")[3:6] == ["CXR-TRIAGE-CANARY", "", "CANARY^TRIAGE^^^^^L"]
    report = dcmread(BytesIO(ours.pacs.received[0]), force=True)
    assert (report.PatientName, report.PatientID) == ("CANARY^TRIAGE", "CXR-TRIAGE-CANARY")
    assert (report.QualityControlSubject, report.SeriesDescription) == ("YES", "TEST: chest radiograph triage")
    assert report.StudyDescription == "TEST: canary of cxr-triage, no patient"
    assert report.StudyInstanceUID.startswith(f"{ours.spool.installation_uid()}.")
    assert report.StudyInstanceUID.encode() in message
    assert (len(ours.pacs.received), ours.archive.received) == (1, [])


def test_it_is_listed_nowhere_counted_nowhere_and_leaves_nothing(ours: Site) -> None:
    before = [counted(port, *names) for port, names in COUNTED.items()]
    with connect(ours.roles.redis_url, 5.0) as client:
        assert ours.fly().returncode == 0
        assert [counted(port, *names) for port, names in COUNTED.items()] == before
        index = IndexedWorklist(client)
        assert (index.count(), index.tagged_since(0.0), list(index.study_uids())) == (0, 0, [])
        wait_for(lambda: client.keys("rq:job:*") == [], "its job to be gone")
        assert ScoreQueue(client).depth() == 0
    assert list(ours.spool.study_uids()) == list(ours.spool.waiting()) == []
    outbox = Outbox(ours.spool)
    assert [outbox.oldest(name) for name in ("pacs", "ris", "archive")] == [0.0, 0.0, 0.0]
    assert ours.left() == []


def test_a_patient_s_study_in_its_dress_goes_a_patient_s_way(ours: Site) -> None:
    told = len(ours.ris.received)
    patient = a_radiograph("1.2.826.0.1.3680043.8.498.77", PatientName="CANARY^TRIAGE", PatientID="CXR-TRIAGE-CANARY")
    assert store(ours.port, patient, calling="CXR_CANARY") == [0x0000]
    wait_for(lambda: len(ours.ris.received) > told, "the patient's result")
    assert ours.ris.fields("MSH")[10] == "P"
    wait_for(lambda: ours.archive.received, "the patient's report")
    with connect(ours.roles.redis_url, 5.0) as client:
        assert list(IndexedWorklist(client).study_uids()) == [patient.StudyInstanceUID]
    wait_for(lambda: all(all(counted(port, *names).values()) for port, names in COUNTED.items()), "all to be counted")
    assert counted(LISTEN, "cxr_triage_objects_received_total")["cxr_triage_objects_received_total"] == 1


def test_what_a_person_switched_off_is_no_failure(ours: Site) -> None:
    switches, had = Outbox(ours.spool), len(ours.pacs.received)
    switches.set_disabled("pacs", True)
    ours.spool.model_switches.set_disabled("tiny-adult", True)
    done = ours.fly()
    switches.set_disabled("pacs", False)
    ours.spool.model_switches.set_disabled("tiny-adult", False)
    assert done.returncode == 0, done.stdout + done.stderr + ours.logs()
    assert "NOT_ASSESSED model_disabled" in done.stdout
    assert "switched off by hand" in done.stdout
    assert len(ours.pacs.received) == had


def test_receivers_that_refuse_it_are_named_and_no_patient_s_result_is_held_up(ours: Site) -> None:
    ours.pacs.statuses[:] = [0xA900]
    ours.answer.append(acknowledging("AE", "who is that"))
    failed = stuck(ours.fly())
    ours.pacs.statuses[:] = [0x0000]
    ours.answer.append(acknowledging("AA"))
    assert failed.keys() == {"delivered:pacs", "delivered:ris"}
    assert "0xA900" in failed["delivered:pacs"]
    assert "AE (an error in the message): who is that" in failed["delivered:ris"]
    assert ours.left() == []
    outbox = Outbox(ours.spool)
    assert [(outbox.dead.count(name), outbox.pause(name)[0]) for name in ("pacs", "ris")] == [(0, 0), (0, 0)]
    assert set(passed(ours.fly())) == ALL


def test_another_score_of_the_same_model_is_a_failure(ours: Site) -> None:
    assert set(passed(ours.fly())) == ALL
    scores, before = ours.partition.root / "scores.json", last_success(ours.partition)
    ((digest, first),) = json.loads(scores.read_text()).items()
    scores.write_text(json.dumps({digest: first + 0.01}))
    failed = stuck(ours.fly())
    assert failed == {"scored": f"tiny-adult 1 scores otherwise than before: {first:.4f}, and {first + 0.01:.4f} first"}
    assert last_success(ours.partition) == before  # and by its age the alert goes off
    scores.write_text(json.dumps({"of another model": 0.5}))
    assert set(passed(ours.fly())) == ALL
    assert json.loads(scores.read_text()) == {"of another model": 0.5, digest: first}
