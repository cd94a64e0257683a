"""Files that killed processes leave of a canary: used while its run goes on, and removed by the next run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.canary.test_scoring import stored
from tests.support.redis_server import RedisServer
from tests.support.studies import a_study
from triage.canary.partition import CANARY, last_success, open_partition, record_success, remove_canaries
from triage.canary.run import CanaryObserver, CanarySetup, run_canary
from triage.canary.stages import (
    SentCanary,
    StageFailedError,
    StagePendingError,
    check_decided,
    check_delivered,
    check_scored,
)
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.channels.webhook.settings import WebhookDestination
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.dicom.requestor import RemoteAE
from triage.metrics.delivery import DeliveryMetrics
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations.reconcile import SharedState, sweep
from triage.operations.retention import AgeLimits
from triage.queue.score_queue import PartitionedInstance, ScoreQueue, connect, job_id
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

PACS = SRDestination(name="pacs", host="127.0.0.1", port=1, called_ae_title="PACS", delay_s=0, canary=True)


def only(spool: Spool, study: str) -> ReceivedInstance:
    (found,) = spool.assessments(study)
    return ReceivedInstance(study, found["sop_instance_uid"], found["content_digest"])


def sent_canary(spool: Spool, instance: ReceivedInstance) -> SentCanary:
    return SentCanary(spool, instance, lambda _: "queued")


def built(partition: Spool, study: str) -> Outbox:
    """Have the message of a study built, and not sent."""
    outbox = Outbox(partition)
    metrics = DeliveryMetrics(CollectorRegistry())
    Deliverer(partition, outbox, PACS, channel_of(PACS), metrics).build()
    assert outbox.to_be_told(study) == ()
    return outbox


def everything_that_can_be_left(spool: Spool) -> Spool:
    """Canaries that were killed in every state."""
    partition = open_partition(spool)
    stored(spool, time.time())  # stored
    buried = stored(spool, time.time() + 1)
    partition.bury(buried, {"error": "broken"})  # given up
    built(partition, a_study(partition, "pacs"))  # built, not sent
    outbox = built(partition, a_study(partition, "pacs"))
    outbox.dead.bury(outbox.waiting("pacs")[0], "refused", time.time())  # refused for good
    outbox.dead.bury_study(a_study(partition, "pacs"), "pacs", "cannot be built")
    a_study(partition, "pacs")  # decided, not built
    outbox.set_pause("pacs", 3, 9e9, "no answer")
    partition.new_part().write_bytes(b"half")
    return partition


def left(partition: Spool) -> list[Path]:
    kept = ("registered", "locks", "VERSION", "LAYOUT", "last.json")
    files = [path.relative_to(partition.root) for path in partition.root.rglob("*") if path.is_file()]
    return [path for path in files if path.parts[0] not in kept]


def test_every_state_is_cleaned_and_no_patient_is_touched(spool: Spool) -> None:
    patient = a_study(spool, "pacs")
    partition = everything_that_can_be_left(spool)
    record_success(partition, 1234.5, 1.0)
    assert {path.parts[0] for path in left(partition)} == {
        *("inbox", "dead", "studies", "outbox", "undeliverable", "marks", "control", "incoming")
    }
    assert len(remove_canaries(partition, time.time() + 2 * 3600)) == 2
    assert left(partition) == []
    assert list(partition.study_uids()) == []
    assert list(spool.study_uids()) == [patient]
    assert Outbox(spool).to_be_told(patient) == ("pacs",)
    assert last_success(partition) == 1234.5
    assert remove_canaries(partition, time.time() + 25 * 3600) == []
    assert list((partition.root / "registered").iterdir()) == []


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_next_flight_forgets_the_jobs_of_those_before(spool: Spool) -> None:
    partition = everything_that_can_be_left(spool)
    waiting = {*partition.waiting(), *(instance for instance, _ in partition.dead_letters())}
    forgotten: list[ReceivedInstance] = []
    nowhere = RemoteAE("127.0.0.1", 1, "CXR_TRIAGE", "CXR_CANARY")
    setup = CanarySetup(spool, partition, nowhere, (), 1.0, lambda _: "", forgotten.extend)
    outcome = run_canary(setup, CanaryObserver(lambda _: None))
    assert outcome is not None
    assert list(outcome.failed_stages) == ["stored"]
    assert waiting < set(forgotten)
    assert list(partition.study_uids()) == []


def test_the_sweep_queues_again_what_a_dead_worker_or_redis_lost(spool: Spool, redis_server: RedisServer) -> None:
    canary = stored(spool, time.time())
    with connect(redis_server.url, 5.0) as client:
        jobs, metrics = ScoreQueue(client), ReconcileMetrics(CollectorRegistry())
        places = {CANARY: open_partition(spool)}

        def swept() -> int:
            done = sweep(SharedState(spool, jobs, IndexedWorklist(client), places), metrics, AgeLimits(now=1e9))
            assert done.requeued == 0  # that counts patients'
            return jobs.depth()

        assert swept() == 1  # Redis never heard of it
        job = job_id(PartitionedInstance(CANARY, canary))
        assert jobs.waiting_ids() == {job}
        client.hset(f"rq:job:{job}", mapping={"status": "started", "worker_name": "w"})
        client.delete("rq:queue:score")
        with spool.workers.hold("w"):  # the lock is in the patients' spool: there is one worker for all
            assert swept() == 0
        assert swept() == 1


def test_what_the_worker_did_not_mark_did_not_come_out(spool: Spool) -> None:
    """A worker that was started before a destination got its canary = true marks nothing, and that is no success."""
    partition = open_partition(spool)
    sent = sent_canary(partition, only(partition, a_study(partition)))
    with pytest.raises(StageFailedError, match="start work again"):
        check_delivered(sent, PACS, Outbox(spool))
    shadow = sent_canary(partition, only(partition, a_study(partition, shadow=True)))
    assert check_delivered(shadow, PACS, Outbox(spool)) == "nothing to say there"


def test_each_state_of_a_delivery_is_told_from_the_others(spool: Spool) -> None:
    partition, switches = open_partition(spool), Outbox(spool)
    study = a_study(partition, "pacs")
    sent = sent_canary(partition, only(partition, study))
    with pytest.raises(StagePendingError, match="does deliver run"):
        check_delivered(sent, PACS, switches)
    outbox = built(partition, study)
    with pytest.raises(StagePendingError, match="waits to be sent"):
        check_delivered(sent, PACS, switches)
    switches.set_pause("pacs", 2, 9e9, "no answer from PACS")
    with pytest.raises(StagePendingError, match="no answer from PACS"):
        check_delivered(sent, PACS, switches)
    again = outbox.postpone(outbox.waiting("pacs")[0], "refused, 0xA700", time.time(), 5.0)
    with pytest.raises(StagePendingError, match="0xA700"):
        check_delivered(sent, PACS, switches)
    outbox.delivered(again, "stored, 0x0000", time.time())
    assert check_delivered(sent, PACS, switches) == "stored, 0x0000"
    hook = WebhookDestination(name="hook", url="http://127.0.0.1:1/", secret="sixteen characters")
    outbox.prepare(["hook"])
    outbox.mark(study, "hook")
    outbox.dead.bury_study(study, "hook", "cannot be built: KeyError")
    with pytest.raises(StageFailedError, match="KeyError"):
        check_delivered(sent, hook, switches)


def test_a_score_that_changed_is_no_answer(spool: Spool) -> None:
    partition = open_partition(spool)

    def seen(probability: float, model_digest: str = "b" * 64) -> str:
        study = a_study(partition, tag=Tag.NORMAL, probability=probability, model_digest=model_digest)
        return check_scored(sent_canary(partition, only(partition, study)))

    assert seen(0.08) == "NORMAL 0.080 by rsna-adult 1"
    assert seen(0.08001)  # by another processor
    assert seen(0.3, "c" * 64)  # by another model
    with pytest.raises(StageFailedError, match=r"1 scores otherwise than before: 0\.0900, and 0\.0800 first"):
        seen(0.09)
    remove_canaries(partition, time.time())
    with pytest.raises(StageFailedError, match="otherwise than before"):
        seen(0.09)


def test_a_worker_s_failure_is_no_answer(spool: Spool) -> None:
    canary, partition = stored(spool, time.time()), open_partition(spool)
    sent = sent_canary(partition, canary)
    partition.bury(canary, {"error": "every worker that had it in work died"})
    for stage in (check_scored, check_decided):
        with pytest.raises(StageFailedError, match="every worker that had it in work died"):
            stage(sent)
