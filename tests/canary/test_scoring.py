"""A worker's batch that holds patients' objects and a canary: trouble with the one costs the others nothing."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.builders import a_decision
from tests.support.dicom_peer import data_set_of
from tests.support.in_process_worker import Workplace
from tests.support.redis_server import RedisServer
from tests.support.service import NO_LIMIT, a_chest
from tests.support.tiny_adult import sessions
from triage.canary.partition import CANARY, is_registered, open_partition, register, remove_canaries
from triage.canary.study import make_canary
from triage.canary.wiring import canary_at_worker
from triage.decision.types import Priority, Tag
from triage.dicom.command_set import C_STORE_RQ, Command
from triage.listener.c_store_scp import IncomingObject, receipt_now
from triage.listener.storage import CanaryRoute, uncounted_target
from triage.model.session import ModelSession
from triage.queue.score_queue import UNREAD_PAUSES_S, PartitionedInstance, connect
from triage.runtime.child_pool import DecodePool
from triage.scoring.batch import BatchScorer
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.partitioned import PartitionedScorer
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

__all__ = ["sessions"]  # a fixture

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def place(spool: Spool, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool) -> Workplace:
    """A worker that knows the canary."""
    made = Workplace(spool, redis_server, sessions, pool)

    def scorer_of(partition: Spool, outputs: DecisionOutputs) -> BatchScorer:
        return BatchScorer(made.resources, partition, outputs, made.rules)

    index = IndexedWorklist(made.client)
    made.places = PartitionedScorer(made.scorer, canary_at_worker(scorer_of, spool, lambda _: index, ["pacs"]))
    return made


def stored(spool: Spool, now: float) -> ReceivedInstance:
    """A canary that has been received."""
    partition, canary = open_partition(spool), make_canary(spool.installation_uid(), now)
    register(partition, canary.instance)
    command = Command(C_STORE_RQ, 1, True, DX, canary.instance.sop_instance_uid)
    receipt = receipt_now("CXR_CANARY", "CXR_TRIAGE", "127.0.0.1", EXPLICIT)
    route = CanaryRoute.to("CXR_CANARY", uncounted_target(partition, CANARY), partial(is_registered, partition))
    incoming = IncomingObject(spool, command, receipt, NO_LIMIT, route.redirect)
    incoming.write(memoryview(data_set_of(canary.file)))
    done = incoming.finish()
    assert done.redirected_to is not None
    assert (done.redirected_to.partition, done.instance) == (CANARY, canary.instance)
    return canary.instance


def finished(place: Workplace, canary: ReceivedInstance) -> list[PartitionedInstance]:
    """Score the canary alone and return what failed."""
    ((works, failed),) = place.places.finish(place.places.start([PartitionedInstance(CANARY, canary)])[0])
    assert works == [PartitionedInstance(CANARY, canary)]
    return list(failed)


def test_patients_and_a_canary_in_one_batch(place: Workplace) -> None:
    partition, canary = open_partition(place.spool), stored(place.spool, time.time())
    patients = place.queued(a_chest(1), a_chest(2))
    place.jobs.enqueue(PartitionedInstance(CANARY, canary))
    place.work()
    assert {uid: tag for uid, (tag, _) in place.tags().items()} == {
        each.study_instance_uid: Tag.NORMAL for each in patients
    }
    assert place.counted("time_to_tag_seconds_count") == 2
    decision = partition.decision(canary.study_instance_uid)
    assert decision is not None
    assert (decision["tag"], decision["accession_number"][:6]) == ("NORMAL", "CANARY")
    assert partition.filed_path(canary).exists()
    assert [path.name for path in (partition.root / "marks" / "pacs").iterdir()] == [canary.study_instance_uid]
    assert (place.jobs.depth(), place.client.keys("rq:job:*")) == (0, [])


def test_one_that_is_removed_during_work_fails_alone(place: Workplace, spool: Spool) -> None:
    partition, canary = open_partition(spool), stored(spool, time.time())
    patient = place.queued(a_chest(1))[0]
    started, failed = place.places.start([PartitionedInstance(CANARY, canary), PartitionedInstance("", patient)])
    assert (len(started), failed) == (2, {})
    [decoding.result() for _, decoding in started]
    remove_canaries(partition, time.time() + 25 * 3600)  # it is not even remembered any longer
    finished = list(place.places.finish(started))
    assert [(works, list(failed)) for works, failed in finished] == [
        ([PartitionedInstance("", patient)], []),
        ([PartitionedInstance(CANARY, canary)], [PartitionedInstance(CANARY, canary)]),
    ]
    assert place.tags().keys() == {patient.study_instance_uid}
    assert spool.find(canary) is None
    assert list(spool.study_uids()) == [patient.study_instance_uid]
    place.places.give_up(PartitionedInstance(CANARY, canary), "gone", 3)
    assert list(spool.dead_letters()) == []


def test_one_that_cannot_be_scored_is_a_dead_letter_of_its_own(place: Workplace, spool: Spool) -> None:
    partition, canary = open_partition(spool), stored(spool, time.time())
    patient = place.queued(a_chest(1))[0]
    path = partition.inbox_path(canary)
    path.unlink()
    path.mkdir()  # a file that cannot be read
    for _ in range(len(UNREAD_PAUSES_S) + 3):  # by the sweep, when its pause is over
        place.end_pauses()
        place.jobs.enqueue(PartitionedInstance(CANARY, canary))
        place.work()
    assert place.tags().keys() == {patient.study_instance_uid}
    assert place.counted("buried_total") == 0
    assert list(spool.dead_letters()) == []
    assert [instance for instance, _ in partition.dead_letters()] == [canary]
    shutil.rmtree(path, ignore_errors=True)


def test_a_worklist_that_does_not_work_keeps_it_from_coming_out(place: Workplace, spool: Spool, tmp_path: Path) -> None:
    """Something else lies where the list should: listing fails, for patients and the canary alike."""
    partition, canary = open_partition(spool), stored(spool, time.time())
    place.client.set("cxr-triage:worklist:LOW", "no list")
    assert finished(place, canary) == [PartitionedInstance(CANARY, canary)]
    assert not partition.filed_path(canary).exists()
    place.client.delete("cxr-triage:worklist:LOW")
    assert finished(place, canary) == []
    assert partition.filed_path(canary).exists()
    assert place.tags() == {}


def test_a_rehearsal_leaves_the_index_as_it_was(redis_server: RedisServer) -> None:
    with connect(redis_server.url, 5.0) as client:
        index = IndexedWorklist(client)
        index.put(a_decision("1.2.3", tagged_at=2000.0))
        index.put(a_decision("1.2.4", tagged_at=2001.0, priority=Priority.LOW))
        index.read("1.2.4", "c" * 64, 2002.0)

        def content() -> dict[bytes, bytes]:
            passing = (b"changes", b"changed")  # what those who hold a copy of the list read again
            names = [name for name in client.keys("*") if not name.endswith(passing)]
            return {name: client.dump(name) for name in names}

        before, changes = content(), index.changes()
        index.rehearse(a_decision("1.2.5", tagged_at=2003.0, priority=Priority.LOW))
        assert content() == before
        assert index.changes() > changes
        assert index.get("1.2.5") is None
