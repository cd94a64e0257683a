"""A spool, a queue and a worker of the test's own process, as ``triage work`` puts them together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from rq import Queue
from rq.serializers import JSONSerializer

from tests.support.redis_server import RedisServer
from tests.support.service import receive
from triage.decision.reasons import Reason
from triage.decision.types import PriorityPolicy, Tag
from triage.metrics.worker import WorkerMetrics
from triage.model.session import ModelSession
from triage.operations.reconcile import SharedState, sweep
from triage.operations.retention import AgeLimits
from triage.queue.score_queue import QUEUE, ScoreQueue, connect
from triage.runtime.child_pool import DecodePool
from triage.runtime.decode_scheduler import DecodeScheduler
from triage.runtime.stop_signal import StopSignal
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import BatchScorer, ScoringResources
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.partitioned import PartitionedScorer
from triage.scoring.study_decisions import DecisionRules
from triage.scoring.worker import BatchWorker, WorkerSetup
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.worklist.index import IndexedWorklist


class Workplace:
    """A spool, a queue and a worker of this process."""

    def __init__(self, spool: Store, server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool) -> None:
        self.spool = spool
        self.client = connect(server.url, 5.0)
        self.jobs = ScoreQueue(self.client)
        self.queue = Queue(QUEUE, connection=self.client, serializer=JSONSerializer)
        self.index = IndexedWorklist(self.client)
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.stop = StopSignal()
        self.resources = ScoringResources(
            sessions,
            DecodeScheduler(pool, pool.processes, 4 << 30),
            AssessmentPolicy(),
            spool.model_switches.disabled,
        )
        self.rules = DecisionRules(PriorityPolicy())
        outputs = DecisionOutputs(self.metrics, lambda decisions: self.index.put_all(decisions))
        self.scorer = BatchScorer(self.resources, spool, outputs, self.rules)
        self.places = PartitionedScorer(self.scorer)

    def queued(self, *files: bytes, prior: bool = False) -> list[ReceivedInstance]:
        instances = [receive(self.spool, file) for file in files]
        for instance in instances:
            self.jobs.enqueue(instance, prior)
        return instances

    def work(self, batch_size: int = 16, tries: int = 3, name: str = "w") -> None:
        """Work until the queue is empty, in a life of a worker of its own."""
        with self.spool.workers.hold(name):
            setup = WorkerSetup(self.places, batch_size, tries, self.metrics, self.stop)
            BatchWorker(name, self.client, setup).work(burst=True, logging_level="WARNING")

    def sweep(self) -> None:
        sweep(SharedState(self.spool, self.jobs, self.index), self.metrics, AgeLimits(now=1e9))

    def end_pauses(self) -> int:
        """End the pauses of objects that were put off, as time does, and return how many there were."""
        jobs = [key for key in self.client.scan_iter("rq:job:*") if self.client.hget(key, "status") == b"scheduled"]
        return int(self.client.delete(*jobs)) if jobs else 0

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"cxr_triage_{name}", labels) or 0.0

    def tags(self) -> dict[str, tuple[Tag, tuple[Reason, ...]]]:
        entries = self.index.page(None, 1000, 2e9).entries
        return {entry.study_instance_uid: (entry.tag, entry.reasons) for entry in entries}
