"""The worker: takes jobs from the queue in batches and keeps its models loaded, whatever happens to Redis."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from triage.decoding import Decoding
from triage.metrics import Metrics
from triage.queueing import FUNCTIONS, QUEUE, ScoreQueue
from triage.scoring import Failed, Opened, Scorer
from triage.signals import StopSignal
from triage.spool import ReceivedInstance, Spool

logger = logging.getLogger(__name__)

STARTS_AT_MOST = 20
"""Starts of one object without an end: each is a worker that died with it, and at last it is the object's fault."""

_ATTEMPTS = "cxr-triage:attempts"
_PAUSE_S = 1.0
_DISK_PAUSE_S = 5.0

Started = list[tuple[ReceivedInstance, Decoding[Opened]]]


class BatchWorker(SimpleWorker):
    """An rq worker that works on many jobs at once, in this process.

    While the decode processes open one batch, the batch before it is scored here. rq gives the blocking wait, the job
    hashes, heartbeats and signals; see docs/adr/0002 for why the rest is ours.
    """

    max_connection_wait_time = 2.0

    def __init__(
        self,
        name: str,
        client: Redis,
        scorer: Scorer,
        batch_size: int,
        tries: int,
        metrics: Metrics,
        stop: StopSignal,
    ) -> None:
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        super().__init__([queue], name=name, connection=client, serializer=JSONSerializer)
        self._score_queue = queue
        self._jobs = ScoreQueue(client)
        self._scorer = scorer
        self._batch_size = batch_size
        self._tries = tries
        self._metrics = metrics
        self._stop = stop

    def request_stop(self, signum: int, frame: object) -> None:
        """rq installs this as signal handler: an idle worker ends at once, a busy one after what it has begun."""
        self._stop.note(signum, frame)
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def subscribe(self) -> None:
        """No remote commands through Redis: a worker is told to stop by a signal."""

    def unsubscribe(self) -> None:
        """See subscribe."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Work until the queue is empty or we are told to stop, beginning with ``job``."""
        self.set_state(WorkerStatus.BUSY)
        current = self._start([job, *self._take(self._batch_size - 1)])
        while current:
            upcoming = [] if self._stop_requested else self._start(self._take(self._batch_size))
            self._finish(current)
            self.heartbeat()
            current = upcoming
        self.set_state(WorkerStatus.IDLE)

    def _take(self, count: int) -> list[Job]:
        """Up to ``count`` more jobs, without waiting: moved to where rq looks for jobs whose worker died."""
        if count < 1:
            return []
        pipeline = self.connection.pipeline(transaction=False)
        for _ in range(count):
            pipeline.lmove(self._score_queue.key, self._score_queue.intermediate_queue_key, "LEFT", "RIGHT")
        ids = [each.decode() for each in pipeline.execute() if each is not None]
        jobs = Job.fetch_many(ids, connection=self.connection, serializer=self.serializer)
        gone = [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]
        for job_id in gone:
            self.connection.lrem(self._score_queue.intermediate_queue_key, 1, job_id)
        return [job for job in jobs if job is not None]

    def _start(self, jobs: Sequence[Job]) -> Started:
        named = [(job, instance) for job in jobs if (instance := self._instance_of(job)) is not None]
        pipeline = self.connection.pipeline(transaction=False)
        for job in jobs:
            pipeline.lrem(self._score_queue.intermediate_queue_key, 1, job.id)
        for job, _ in named:
            pipeline.hset(job.key, mapping={"status": JobStatus.STARTED.value, "worker_name": self.name})
        for _, instance in named:
            pipeline.hincrby(_ATTEMPTS, f"starts {instance.key}", 1)
        starts = pipeline.execute()[len(jobs) + len(named) :]
        worn = {instance for (_, instance), count in zip(named, starts, strict=True) if count > STARTS_AT_MOST}
        for instance in worn:
            self._bury(Failed(instance, "every worker that took it up died"), STARTS_AT_MOST)
        instances = [instance for _, instance in named if instance not in worn]
        started = self._scorer.start(instances)
        begun = {instance for instance, _ in started}
        self._end([instance for instance in instances if instance not in begun])
        return started

    def _instance_of(self, job: Job) -> ReceivedInstance | None:
        """The object that a job names. A job of anything else is refused: nothing that it names is imported."""
        try:
            callbacks = (job._success_callback_name, job._failure_callback_name, job._stopped_callback_name)
            if job.func_name not in FUNCTIONS or any(callbacks):
                raise ValueError(f"{job.func_name!r} is not on the closed list of job functions")
            return ReceivedInstance.from_key(job.args[0])
        except Exception as error:  # the edge: whatever somebody wrote into the queue
            logger.error("refused a job: %s", error)
            job.set_status(JobStatus.FAILED)
            FailedJobRegistry(QUEUE, connection=self.connection, serializer=self.serializer).add(
                job, exc_string=str(error)
            )
            return None

    def _finish(self, started: Started) -> None:
        try:
            failed = {each.instance: each for each in self._scorer.finish(started)}
        except OSError as error:
            self._again_later([instance for instance, _ in started], error)
            return
        self._end([instance for instance, _ in started if instance not in failed])
        for each in failed.values():
            self._metrics.retries.inc()
            count = int(self.connection.hincrby(_ATTEMPTS, f"failures {each.instance.key}", 1))
            logger.error("%s failed, attempt %d of %d: %s", each.instance.key, count, self._tries, each.error)
            if count < self._tries:
                self._jobs.again(each.instance)
            else:
                self._bury(each, count)

    def _bury(self, failed: Failed, tries: int) -> None:
        try:
            self._scorer.give_up(failed.instance, failed.error, tries)
        except OSError as error:
            self._again_later([failed.instance], error)
            return
        self._end([failed.instance])

    def _again_later(self, instances: Sequence[ReceivedInstance], error: OSError) -> None:
        """The spool cannot be written: no object's fault, so that it costs none of them a try."""
        logger.error("the spool cannot be written (%s): trying again every %.0f s", error.strerror, _DISK_PAUSE_S)
        for instance in instances:
            self._jobs.again(instance)
            self.connection.hincrby(_ATTEMPTS, f"starts {instance.key}", -1)
        self._stop.wait(_DISK_PAUSE_S)

    def _end(self, instances: Sequence[ReceivedInstance]) -> None:
        """Forget the jobs and attempts of objects that are done with."""
        if not instances:
            return
        pipeline = self.connection.pipeline(transaction=False)
        self._jobs.delete(instances, pipeline)
        names = [f"{kind} {instance.key}" for instance in instances for kind in ("starts", "failures")]
        pipeline.hdel(_ATTEMPTS, *names)
        pipeline.execute()


def worker_name() -> str:
    """A name of this process alone; also that of its lock in the spool."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def run(
    spool: Spool,
    scorer: Scorer,
    connect: Callable[[], Redis],
    sweep: Callable[[], object],
    stop: StopSignal,
    *,
    batch_size: int,
    tries: int,
    metrics: Metrics,
) -> None:
    """Work until ``stop`` is received. The loop is begun anew after any trouble with Redis; the models stay loaded."""
    while not stop.received:
        name = worker_name()
        try:
            with spool.worker_lock(name), connect() as client:
                sweep()  # what a dead worker left is taken up before anything new
                worker = BatchWorker(name, client, scorer, batch_size, tries, metrics, stop)
                worker.work(logging_level="WARNING")
        except RedisError as error:
            logger.error("Redis: %s; trying again", error)
        stop.wait(_PAUSE_S)
