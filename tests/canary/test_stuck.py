"""Canaries that fail, and canaries that are killed: each says where it stuck, and leaves nothing behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.canary_service import passed, site, stuck
from tests.support.dicom_peer import store
from tests.support.redis_server import RedisServer
from tests.support.service import REPOSITORY, ROLE
from tests.support.studies import a_radiograph
from tests.support.wait import wait_for
from triage.canary.partition import last_success
from triage.queue.score_queue import ScoreQueue, connect

ALL = {"stored", "queued", "scored", "decided", "delivered:pacs", "delivered:ris"}


def test_no_listener_no_worker_two_at_once_and_a_kill(tmp_path: Path, redis_server: RedisServer) -> None:
    with site(tmp_path / "site", redis_server.url) as ours:
        failed = stuck(ours.fly())
        assert failed.keys() == {"stored"}
        assert f"127.0.0.1:{ours.port}" in failed["stored"]

        ours.start("listen")
        failed = stuck(ours.fly(timeout_s="15"))
        assert failed == {"scored": "not within 15 s: no worker has scored it; its job is queued"}
        assert ours.left() == []
        with connect(redis_server.url, 5.0) as client:
            assert ScoreQueue(client).depth() == 0

        flying = subprocess.Popen([*ROLE, "canary"], env=ours.roles.environment(), cwd=REPOSITORY)
        wait_for(lambda: any(ours.partition.waiting()), "the canary to be stored")
        other = ours.fly()
        assert (other.returncode, "another canary is running" in other.stderr) == (1, True)
        flying.kill()
        flying.wait()
        (killed,) = ours.partition.waiting()
        assert last_success(ours.partition) == 0

        ours.start("deliver", "work")
        done = ours.fly()
        assert done.returncode == 0, done.stdout + done.stderr + ours.logs()
        assert set(passed(done)) == ALL
        assert ours.partition.find(killed) is None
        assert ours.left() == []
        assert list(ours.spool.study_uids()) == []
        with connect(redis_server.url, 5.0) as client:
            wait_for(lambda: client.keys("rq:job:*") == [], "both jobs to be gone")


def test_without_redis_it_fails_at_the_queue_and_costs_no_patient_anything(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with site(tmp_path / "site", redis_server.url, redis_timeout_s="2") as ours:
        ours.start("listen")
        redis_server.kill()
        patient = a_radiograph("1.2.826.0.1.3680043.8.498.78")
        assert store(ours.port, patient) == [0x0000]
        assert stuck(ours.fly(timeout_s="2")) == {"queued": "not within 2 s: Redis does not answer"}
        assert ours.left() == []
        assert [each.study_instance_uid for each in ours.spool.waiting()] == [patient.StudyInstanceUID]

        redis_server.start()
        ours.start("deliver", "work")
        assert set(passed(ours.fly())) == ALL
        wait_for(lambda: not any(ours.spool.waiting()), "the patient's study to be tagged")
        assert list(ours.spool.study_uids()) == [patient.StudyInstanceUID]
        wait_for(lambda: ours.archive.received, "its report")


def test_a_queue_that_is_emptied_meanwhile_costs_it_nothing(tmp_path: Path, redis_server: RedisServer) -> None:
    """The sweep takes it up again, as it does a patient's object."""
    with site(tmp_path / "site", redis_server.url) as ours:
        ours.start("listen", "deliver")
        flying = subprocess.Popen([*ROLE, "canary"], env=ours.roles.environment(), cwd=REPOSITORY)
        with connect(redis_server.url, 5.0) as client:
            wait_for(lambda: ScoreQueue(client).depth() == 1, "the canary to be queued")
            client.flushall()
        ours.start("sweep", "work")
        assert flying.wait(180) == 0, ours.logs()
