"""Patients, a canary and a validation in one batch of a real worker: kills lose nothing, and no trouble in a partition
costs one of them anything."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import Role, Roles, a_chest, assert_one_result_each, is_done, receive, roles
from tests.support.small_disk import mounted
from tests.support.wait import wait_for
from triage.canary.partition import CANARY as CANARY
from triage.canary.study import make_canary
from triage.queue.score_queue import PartitionedInstance, ScoreQueue, connect
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.validation_partition import VALIDATION

DYING = [sys.executable, "-m", "tests.support.kill_at"]
PARTITIONS = (CANARY, VALIDATION)
PATIENCE_S = 180.0  # a worker's start is the most of it


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10)
    return folder


@dataclass
class Mixed:
    """Roles, and what is queued: patients' objects, and one in each partition, which comes first."""

    roles: Roles
    patients: list[ReceivedInstance]
    partitions: dict[str, ReceivedInstance]

    def queue(self) -> None:
        """Put all of it into the queue, to be taken as one batch."""
        with connect(self.roles.redis_url, 5.0) as client:
            jobs = ScoreQueue(client)
            for partition, instance in self.partitions.items():
                jobs.enqueue(PartitionedInstance(partition, instance))
            for instance in self.patients:
                jobs.enqueue(instance)

    def partition(self, name: str) -> Spool:
        return Spool(self.roles.spool.root / name)

    def another_patient(self) -> None:
        """Comes by the queue, to whichever worker lives."""
        instance = receive(self.roles.spool, a_chest(100 + len(self.patients)))
        with connect(self.roles.redis_url, 5.0) as client:
            ScoreQueue(client).enqueue(instance)
        self.patients.append(instance)

    def assert_patients_are_done(self) -> None:
        wait_for(lambda: is_done(self.roles.spool), "the patients", PATIENCE_S)
        assert_one_result_each(self.roles.spool, self.roles.redis_url, self.patients)
        assert not list(self.roles.spool.dead_letters())

    def out(self) -> list[str]:
        """The partitions whose object came out."""
        return [
            name
            for name, each in self.partitions.items()
            if self.partition(name).filed_path(each).exists() and self.partition(name).decision(each.study_instance_uid)
        ]

    def no_job_is_left(self) -> bool:
        with connect(self.roles.redis_url, 5.0) as client:
            return not list(client.scan_iter("rq:job:*"))


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer, models: Path) -> Iterator[Roles]:
    with roles(tmp_path, redis_server.url, models, listener_validation_ae_title="VALIDATION") as running:
        yield running


def received(running: Roles) -> Mixed:
    spool = running.spool
    canary = make_canary(spool.installation_uid(), time.time()).file
    partitions = {
        name: receive(spool.partition(name), file) for name, file in zip(PARTITIONS, (canary, a_chest(9)), strict=True)
    }
    return Mixed(running, [receive(spool, a_chest(number)) for number in range(2)], partitions)


@pytest.fixture
def mixed(running: Roles) -> Mixed:
    made = received(running)
    made.queue()
    return made


KILLED_AT = {
    "taken from the queue": ("before", "triage.scoring.worker:BatchWorker.execute_job"),
    "patients are done, the others are not": ("after", "triage.queue.score_queue:ScoreQueue.end"),
    "the canary is decided, and not listed": ("before", "triage.worklist.index:IndexedWorklist.rehearse"),
    "the canary is listed, and in its inbox": ("after", "triage.worklist.index:IndexedWorklist.rehearse"),
}


@pytest.mark.parametrize("point", KILLED_AT)
def test_a_worker_that_is_killed_loses_neither_patients_nor_what_is_in_partitions(mixed: Mixed, point: str) -> None:
    assert mixed.roles.start(*KILLED_AT[point], "work", command=DYING).wait() == -signal.SIGKILL
    assert mixed.out() == []
    mixed.roles.start("work")
    mixed.assert_patients_are_done()
    wait_for(lambda: len(mixed.out()) == 2, "the partitions' objects", PATIENCE_S)
    wait_for(mixed.no_job_is_left, "the last job to be ended")
    assert not [each for name in PARTITIONS for each in mixed.partition(name).dead_letters()]


TROUBLE = {
    "removed before they are scored": (
        ("before", "triage.scoring.batch:BatchScorer.score"),
        "rm -r canary validation",
        "done by another worker meanwhile|attempt 1 of 3: FileNotFoundError|no bytes of it",
    ),
    "in the way of what is written": (
        ("before", "triage.worklist.index:IndexedWorklist.rehearse"),
        "rm -r canary validation && touch canary validation",
        "attempt 1 of 3: (?:NotADirectoryError|FileExistsError)|after 0 s or more: UnreadError",
    ),
    "unreadable": (
        ("before", "triage.scoring.worker:BatchWorker.execute_job"),
        "for each in canary/inbox/*.dcm validation/inbox/*.dcm; do rm $each; mkdir $each; done",
        "is tried again after 15 s or more: UnreadError",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_in_a_partition_fails_what_lies_there_and_the_worker_goes_on(mixed: Mixed, trouble: str) -> None:
    point, deed, said = TROUBLE[trouble]
    mixed.roles.settings["TEST_DEED"] = f"cd {mixed.roles.spool.root} && {deed}"
    worker = mixed.roles.start(*point, "work", command=DYING)
    mixed.assert_patients_are_done()
    wait_for(lambda: len(re.findall(said, worker.log.read_text())) == 2, f"{said!r} of both", PATIENCE_S)
    mixed.another_patient()
    mixed.assert_patients_are_done()
    wait_for(mixed.no_job_is_left, "the last job to be ended")
    _assert_it_never_stopped(worker)


def _assert_it_never_stopped(worker: Role) -> None:
    """Neither the process nor its loop ended, which would let go of patients' objects that it had begun with."""
    assert worker.process.poll() is None
    for told in ("trying again", "Traceback"):
        assert not worker.said(told)


def test_a_disk_that_is_full_there_keeps_nobody_else_and_is_got_over(running: Roles, tmp_path: Path) -> None:
    with mounted(tmp_path, megabytes=4) as disk:
        for name in PARTITIONS:
            (disk / name).mkdir()
            (running.spool.root / name).symlink_to(disk / name)
        made = received(running)
        made.queue()
        filler, free = disk / "filler", os.statvfs(disk)
        filler.write_bytes(bytes(free.f_bavail * free.f_frsize))
        worker = running.start("work")
        made.assert_patients_are_done()
        cannot = "waits, and is tried again after 15 s or more: OSError: No space left on device"
        wait_for(lambda: worker.log.read_text().count(cannot) == 2, "both to be given up in vain", PATIENCE_S)
        made.another_patient()
        made.assert_patients_are_done()
        assert made.out() == []
        _assert_it_never_stopped(worker)

        filler.unlink()
        running.start("sweep")
        wait_for(lambda: len(made.out()) == 2, "what waited for room", PATIENCE_S)
        _assert_it_never_stopped(worker)
        running.end()


def test_partitions_that_cannot_be_used_keep_no_worker_from_starting(running: Roles) -> None:
    """Nor the sweep before it, which finds the patient's object that no queue was told of."""
    patients = [receive(running.spool, a_chest(1))]
    later, broken = running.spool.partition(CANARY).root, running.spool.partition(VALIDATION)
    (later / "VERSION").write_text("99\n")  # of a release that is to come
    broken.inbox.rmdir()
    broken.inbox.touch()
    worker = running.start("work")
    wait_for(lambda: is_done(running.spool), "the patient", PATIENCE_S)
    assert_one_result_each(running.spool, running.redis_url, patients)
    assert worker.said("version 99")
    assert worker.said("sweep: validation cannot be")
    _assert_it_never_stopped(worker)
