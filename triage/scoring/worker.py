"""The worker: takes jobs from the queue in batches and keeps its models loaded, whatever happens to Redis."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from triage.metrics.process import Metrics
from triage.queue.rq_adapter import (
    WORKER_TTL_S,
    Job,
    JobStatus,
    Queue,
    RestrictedWorker,
    StopRequested,
    WorkerStatus,
    has_callbacks,
    open_queue,
    take_next,
)
from triage.queue.score_queue import FUNCTIONS, PRIORS, QUEUE, PartitionedInstance, ScoreQueue
from triage.runtime.log_context import about
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.scoring.partitioned import PartitionedScorer, Started
from triage.spool.spool import Spool

logger = logging.getLogger(__name__)

DEATHS_AT_MOST = 10
"""Workers that died with one object in work, until it is given up. From the first on, it is worked on alone."""

BATCHES_BEFORE_PRIORS = 20
"""Batches of others, until one of priors has its turn: they wait long, and not for ever."""

_ODD_JOBS_AT_MOST = 1000  # in a row; then the worker begins anew, and the sweep looks through the queue
_PATIENCE_S = 2.0
"""Seconds that what is decoded waits for the rest of its batch."""
_BATCHES_IN_WORK = 8
"""Batches that may be in work, where some of their images take long; more are not taken."""

_PAUSE_S = 1.0
_LOOK_S = 0.005

Taken = list[tuple[Job, PartitionedInstance]]


class BatchWorker(RestrictedWorker):
    """An rq worker that works on many jobs at once, in this process.

    While the decode processes open one batch, the batch before it is scored here. rq gives the blocking wait, the
    registration and its heartbeat; see docs/adr/0002 for why the rest is ours.
    """

    def __init__(
        self,
        name: str,
        client: Redis,
        scorers: PartitionedScorer,
        batch_size: int,
        tries: int,
        metrics: Metrics,
        stop: StopSignal,
        progress: ProgressWatch | None = None,
    ) -> None:
        self._progress = progress or ProgressWatch("working", WORKER_TTL_S)
        queue = open_queue(QUEUE, client)
        super().__init__(name, client, queue)
        self._score_queue = queue
        self._priors = open_queue(PRIORS, client)
        self._since_priors = 0
        self._jobs = ScoreQueue(client)
        self._scorers = scorers
        self._batch_size = batch_size
        self._tries = tries
        self._metrics = metrics
        self._stop = stop
        self._suspects: Taken = []

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a job. Being told to stop ends the wait at once, and nothing but the wait.

        What anybody put into the queue that is no job's ID, or no job, is passed over.
        """
        with self._interruptible():
            for _ in range(_ODD_JOBS_AT_MOST):
                try:
                    return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
                except (ResponseError, ValueError) as error:
                    logger.warning("something in the queue is no job (%s): passed over", type(error).__name__)
                    self._metrics.jobs_refused.inc()
                    self._jobs.mend()
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def check_for_suspension(self, burst: bool) -> None:
        """Send the heartbeat between two jobs; a signal to stop ends it at once."""
        with self._interruptible():
            super().check_for_suspension(burst)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Tell Redis that we live, between two looks into the queue and after each batch: our sign of progress."""
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            self._progress.failed(_without_redis(error))
            raise
        self._progress.made()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        self._stop.interrupt_with(_stop_waiting)
        try:
            if self._stop.received:
                _stop_waiting()
            yield
        finally:
            self._stop.interrupt_with(None)

    # The work.

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Work until the queue is empty or we are told to stop, beginning with ``job``.

        A spool that cannot be written ends this worker, in one line instead of rq's traceback each second; see ``run``.
        """
        try:
            self._work_from(job)
        except OSError as error:
            logger.error("the spool cannot be written (%s); trying again", error.strerror or error)
            raise StopRequested from error

    def _work_from(self, job: Job) -> None:
        self.set_state(WorkerStatus.BUSY)
        current = self._start([job, *self._take(self._score_queue, self._batch_size - 1)]) or self._next()
        while current or (self._suspects and not self._stop.received):
            upcoming = self._ahead() if len(current) < _BATCHES_IN_WORK * self._batch_size else []
            if not current:
                current = self._begin([self._suspects.pop()])
            ready, slow = settled(current, _PATIENCE_S)
            self._finish(ready)
            self.heartbeat()
            current = [*slow, *(upcoming or (self._next() if len(slow) < self._batch_size else []))]
        self.set_state(WorkerStatus.IDLE)

    def _ahead(self) -> Started:
        """The batch to open while another is in work. None of priors: what is not one never waits for two batches.

        None either while a suspect waits, so that nothing else is in work when its turn comes.
        """
        if self._stop.received or self._suspects or self._since_priors >= BATCHES_BEFORE_PRIORS:
            return []
        return self._first_of(self._score_queue)

    def _next(self) -> Started:
        """The batch to begin with nothing else in work: priors when nothing else waits, or when it is their turn."""
        queues = [self._score_queue, self._priors]
        if self._since_priors >= BATCHES_BEFORE_PRIORS:
            queues.reverse()
        for queue in queues:
            if self._stop.received or self._suspects:
                return []
            if queue is self._priors:
                self._since_priors = 0
            if started := self._first_of(queue):
                return started
        return []

    def _first_of(self, queue: Queue) -> Started:
        """A batch of a queue; jobs of which nothing is left to do are passed over."""
        while jobs := self._take(queue, self._batch_size):
            started = self._start(jobs)
            if started or self._suspects:
                self._since_priors += queue is self._score_queue
                return started
        return []

    def _take(self, queue: Queue, count: int) -> list[Job]:
        """Up to ``count`` more jobs, without waiting."""
        if count < 1:
            return []
        pipeline = self.connection.pipeline(transaction=False)
        for _ in range(count):
            take_next(pipeline, queue)
        ids = [each for each in pipeline.execute() if each is not None]
        return self._jobs.fetch(ids)

    def _start(self, jobs: Sequence[Job]) -> Started:
        """Begin with ``jobs``, but for those that were in work when a worker died: each of them comes later, alone."""
        taken = [(job, work) for job in jobs if (work := self._work_of(job)) is not None]
        deaths = self._jobs.deaths([work for _, work in taken])
        fresh: Taken = []
        for (job, work), count in zip(taken, deaths, strict=True):
            if count >= DEATHS_AT_MOST:
                self._bury(work, "every worker that had it in work died", count)
            elif count:
                self._suspects.append((job, work))
            else:
                fresh.append((job, work))
        return self._begin(fresh)

    def _begin(self, taken: Taken) -> Started:
        """Say in Redis whose they are, and start to decode."""
        pipeline = self.connection.pipeline(transaction=False)
        for job, work in taken:
            pipeline.hset(job.key, mapping={"status": JobStatus.STARTED.value, "worker_name": self.name})
            if work.partition:  # counted nowhere
                continue
            self._metrics.jobs_taken.labels(PRIORS if job.origin == PRIORS else QUEUE).inc()
        pipeline.execute()
        started, failed = self._scorers.start([work for _, work in taken])
        unfinished = {work for work, _ in started} | failed.keys()
        if done := [work for _, work in taken if work not in unfinished]:
            self._jobs.end(done)
        for work, why in failed.items():
            self._again(work, why)
        return started

    def _work_of(self, job: Job) -> PartitionedInstance | None:
        """The object that a job names. A job of anything else is refused: nothing that it names is imported."""
        try:
            if job.func_name not in FUNCTIONS:
                raise ValueError(f"{str(job.func_name)[:200]!r} is not on the closed list of job functions")
            if has_callbacks(job):
                raise ValueError("a job of ours has no callbacks")
            work = PartitionedInstance.from_key(job.args[0])
            if not self._scorers.know(work):
                raise ValueError(f"nothing is scored in {work.partition[:80]!r} here")
            return work
        except Exception as error:  # the edge: whatever somebody wrote into the queue
            why = f"{type(error).__name__}: {error}"
            logger.error("refused job %s: %s", job.id, why)
            self._jobs.refuse(job, why)
            self._metrics.jobs_refused.inc()
            return None

    def _finish(self, started: Started) -> None:
        for works, failed in self._scorers.finish(started):
            self._jobs.end([work for work in works if work not in failed])
            for work, why in failed.items():
                self._again(work, why)

    def _again(self, work: PartitionedInstance, why: str) -> None:
        count = self._jobs.count_failure(work)
        with about(study=work.instance.study_instance_uid, object=work.sop_instance_uid):
            logger.error("%s failed, attempt %d of %d: %s", work.key, count, self._tries, why)
        if count >= self._tries:
            self._bury(work, why, count)
            return
        if not work.partition:
            self._metrics.retries.inc()
        self._jobs.again(work)

    def _bury(self, work: PartitionedInstance, error: str, tries: int) -> None:
        self._scorers.give_up(work, error, tries)
        self._jobs.end([work])


def settled(started: Started, patience_s: float) -> tuple[Started, Started]:
    """What of a batch is decoded, and what takes longer than the rest: that is not waited for, and keeps nobody."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not all(turn.is_ready for _, turn in started):
        time.sleep(_LOOK_S)
    ready = [each for each in started if each[1].is_ready]
    return ready, [each for each in started if each not in ready]


def _stop_waiting() -> None:
    raise StopRequested


def _without_redis(error: RedisError) -> str:
    return f"Redis does not answer ({type(error).__name__}): nothing is scored"


def worker_name() -> str:
    """A name of this process alone; also that of its lock in the spool."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def run(
    spool: Spool,
    scorers: PartitionedScorer,
    connect: Callable[[], Redis],
    sweep: Callable[[], object],
    stop: StopSignal,
    *,
    batch_size: int,
    tries: int,
    metrics: Metrics,
    progress: ProgressWatch,
) -> None:
    """Work until ``stop`` is received. After trouble with Redis or the disk the loop begins anew, the models loaded."""
    while not stop.received:
        name = worker_name()
        try:
            with spool.workers.hold(name), connect() as client:
                sweep()  # what a dead worker left is taken up before anything new
                worker = BatchWorker(name, client, scorers, batch_size, tries, metrics, stop, progress)
                worker.work(logging_level="WARNING")
        except RedisError as error:
            progress.failed(_without_redis(error))
            logger.error("Redis: %s; trying again", error)
        except OSError as error:
            progress.failed(f"the spool cannot be used ({error.strerror or type(error).__name__}): nothing is scored")
            logger.error("spool: %s; trying again", error)
        stop.wait(_PAUSE_S)
