"""The worker: takes jobs from the queue in batches and keeps its models loaded, whatever happens to Redis."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from triage.errors import cause
from triage.metrics.worker import WorkerMetrics
from triage.queue.rq_adapter import (
    WORKER_TTL_S,
    Job,
    Queue,
    RestrictedWorker,
    StopRequested,
    WorkerStatus,
    open_queue,
)
from triage.queue.score_queue import PRIORS, QUEUE, STAT, UNREAD_PAUSES_S, Delay, PartitionedInstance, ScoreQueue
from triage.runtime.decode_scheduler import wait_until_ready
from triage.runtime.log_context import about
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.scoring.batch import FailedInstance
from triage.scoring.job_intake import JobIntake, TakenJobs
from triage.scoring.partitioned import PartitionedScorer, ScoredPartition, Started
from triage.scoring.settler import Settler
from triage.spool.store import Store

logger = logging.getLogger(__name__)

MAX_DEATHS = 10
"""Workers that may die with one object in work until it is given up. From the first on, it is worked on alone."""

BATCHES_BEFORE_PRIORS = 20
"""Other batches after which one batch of priors is next: priors wait long, and not for ever."""

STAT_IN_A_ROW = 4
"""Batches of STAT orders after which another one has its turn, where a sender calls everything STAT."""

_MAX_INVALID_JOBS = 1000  # in a row; then the worker starts anew, and the sweep inspects the queue
_BATCH_WAIT_S = 2.0
"""Seconds that decoded images wait for the rest of their batch."""
_MAX_BATCHES_IN_WORK = 8
"""Batches that may be in work where some of their images take long; then no more are taken."""

_PAUSE_S = 1.0
_BETWEEN_BEATS_S = 1.0


@dataclass(frozen=True)
class WorkerSetup:
    """Everything of a worker that stays while its connection to Redis comes and goes.

    ``tries``: attempts at one object until it is a dead letter.
    """

    scorers: PartitionedScorer
    batch_size: int
    tries: int
    metrics: WorkerMetrics
    stop: StopSignal
    progress: ProgressWatch = field(default_factory=lambda: ProgressWatch("working", WORKER_TTL_S))


class BatchWorker(RestrictedWorker):
    """An RQ worker that works on many jobs at once, in this process.

    While the decode processes open one batch, the batch before it is scored here, and the results of the one before
    that are written in a thread. RQ provides the blocking wait, the registration and the heartbeat; docs/adr/0002 has
    the reasons for the rest.
    """

    def __init__(
        self, name: str, client: Redis, setup: WorkerSetup, is_fenced: Callable[[], bool] = lambda: False
    ) -> None:
        """``is_fenced``: see ``LiveWorkers``; once it is true, this worker ends."""
        self._next_beat, self._is_fenced, self._waits = 0.0, is_fenced, False
        queue = open_queue(QUEUE, client)
        super().__init__(name, client, queue)
        self._score_queue = queue
        self._priors, self._stat = open_queue(PRIORS, client), open_queue(STAT, client)
        self._since_priors = 0
        self._jobs = ScoreQueue(client)
        self._intake = JobIntake(self._jobs, setup.scorers, setup.metrics)
        self._setup = setup
        self._stop = setup.stop
        self._suspects: TakenJobs = []

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a job. A signal to stop ends the wait at once, and nothing but the wait.

        Entries of the queue that are no job, or no job's ID, are skipped.
        """
        with self._interruptible():
            for _ in range(_MAX_INVALID_JOBS):
                try:
                    return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
                except (ResponseError, ValueError) as error:
                    logger.warning("an entry of the queue is no job (%s): skipped", cause(error))
                    self._setup.metrics.jobs_refused.inc()
                    self._jobs.mend()
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def check_for_suspension(self, burst: bool) -> None:
        """Send the heartbeat between two jobs; a signal to stop ends it at once."""
        with self._interruptible():
            super().check_for_suspension(burst)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Send the heartbeat, between two polls of the queue and after each batch: it shows that work goes on."""
        if pipeline is None and time.monotonic() < self._next_beat:
            return  # Redis has just answered, and the last one holds for a minute
        self._next_beat = time.monotonic() + _BETWEEN_BEATS_S
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            self._setup.progress.failed(_redis_failure(error))
            raise
        self._setup.progress.made()
        if self._waits and self._is_fenced():  # a worker at work notices by what it writes
            logger.warning("the store was away for longer than this worker's lease (store.lease_s): it begins anew")
            raise StopRequested

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        self._stop.interrupt_with(_stop_waiting)
        self._waits = True
        try:
            if self._stop.received:
                _stop_waiting()
            yield
        finally:
            self._waits = False
            self._stop.interrupt_with(None)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Work until the queue is empty or a signal to stop comes, beginning with ``job``.

        A spool that cannot be written ends this worker, in one line instead of RQ's traceback each second; see ``run``.
        """
        try:
            self._work_from(job)
        except OSError as error:
            logger.error("the spool cannot be written (%s); trying again", cause(error))
            raise StopRequested from error

    def _work_from(self, job: Job) -> None:
        with Settler(self._settle) as settler:
            self._work_with(settler, job)

    def _work_with(self, settler: Settler[list[ScoredPartition]], job: Job) -> None:
        batch_size = self._setup.batch_size
        current = self._start([job, *self._with(batch_size - 1)]) or self._next()
        while current or (self._suspects and not self._stop.received):
            upcoming = self._ahead() if len(current) < _MAX_BATCHES_IN_WORK * batch_size else []
            if not current:
                current = self._suspect()
            ready, slow = split_ready(current, _BATCH_WAIT_S)
            scored = self._setup.scorers.score(ready)
            # With nothing to score meanwhile a thread would only cost time; and a suspect is in work alone.
            (settler.begin if upcoming else settler.settle)(scored)
            self.heartbeat()
            slow += self._finish_stat(settler)
            current = [*slow, *(upcoming or (self._next() if len(slow) < batch_size else []))]

    def _with(self, count: int) -> list[Job]:
        """Return up to ``count`` more jobs that wait, and tell Redis that this worker is busy.

        RQ tells it that the worker is idle before it waits for the next job.
        """
        pipeline = self.connection.pipeline(transaction=False)
        self.set_state(WorkerStatus.BUSY, pipeline)
        if count < 1:
            pipeline.execute()
            return []
        return self._jobs.take([self._score_queue], count, pipeline)[1]

    def _ahead(self) -> Started:
        """Start the batch to open while another is in work.

        It is never one of priors, so that no other object waits for two batches; and there is none while a suspect
        waits, so that the suspect is in work alone.
        """
        if self._stop.received or self._suspects or self._since_priors >= BATCHES_BEFORE_PRIORS:
            return []
        return self._first_of(self._score_queue)

    def _finish_stat(self, settler: Settler[list[ScoredPartition]]) -> Started:
        """Score STAT orders before the batch that is being decoded. Return what of it takes longer."""
        late: Started = []
        for _ in range(STAT_IN_A_ROW):
            if self._stop.received or self._suspects or not (started := self._first_of(self._stat)):
                break
            ready, slow = split_ready(started, _BATCH_WAIT_S)
            late += slow
            settler.settle(self._setup.scorers.score(ready))
            self.heartbeat()
        return late

    def _next(self) -> Started:
        """Start the next batch with nothing else in work: priors if nothing else waits, or if they are due."""
        queues = [self._score_queue, self._priors]
        if self._since_priors >= BATCHES_BEFORE_PRIORS:
            queues.reverse()
            self._since_priors = 0
        # STAT last: the loop has had its turn with it; what came since, if nothing else waits.
        return [] if self._stop.received or self._suspects else self._first_of(*queues, self._stat)

    def _first_of(self, *queues: Queue) -> Started:
        """Start a batch of the first of ``queues`` that has one; jobs whose objects are finished are skipped."""
        while not self._stop.received:
            queue, jobs = self._jobs.take(queues, self._setup.batch_size)
            if queue is self._priors or (queue is None and self._priors in queues):
                self._since_priors = 0
            if queue is None:
                break
            started = self._start(jobs)
            if started or self._suspects:
                self._since_priors += queue is self._score_queue
                return started
        return []

    def _start(self, jobs: Sequence[Job]) -> Started:
        """Start ``jobs``, except those that were in work when a worker died: each of them comes later, alone."""
        taken = self._intake.accepted(jobs)
        fresh: TakenJobs = []
        for (job, work), deaths in zip(taken, self._jobs.begin(taken, self.name), strict=True):
            if deaths >= MAX_DEATHS:
                self._give_up(work, "every worker that had it in work died", deaths)
            elif deaths:
                self._suspects.append((job, work))
            else:
                fresh.append((job, work))
        return self._decode(fresh)

    def _suspect(self) -> Started:
        """Start one object that was in work when a worker died, alone."""
        alone = [self._suspects.pop()]
        self._jobs.started(alone, self.name)
        return self._decode(alone)

    def _decode(self, taken: TakenJobs) -> Started:
        """Start to decode the objects of jobs that are recorded as this worker's."""
        for job, work in taken:
            if not work.partition:
                self._setup.metrics.jobs_taken.labels(job.origin if job.origin in (PRIORS, STAT) else QUEUE).inc()
        started, failed = self._setup.scorers.start([work for _, work in taken])
        unfinished = {work for work, _ in started} | failed.keys()
        if done := [work for _, work in taken if work not in unfinished]:
            self._jobs.end(done)
        self._retry_all(failed)
        return started

    def _settle(self, scored: list[ScoredPartition]) -> None:
        for works, failed in self._setup.scorers.settle(scored):
            self._jobs.end([work for work in works if work not in failed])
            self._retry_all(failed)

    def _retry_all(self, failed: Mapping[PartitionedInstance, FailedInstance]) -> None:
        """Queue failed objects again, put them off, or give them up after their last attempt.

        An outage of the store is no attempt, nor is a study that another process holds.
        """
        of_studies = {work for work, each in failed.items() if each.delay in (Delay.LOCKED, Delay.UNDECIDED)}
        # Once for all of them: where a part of the store is silent, the answer may take a minute.
        gives_objects = of_studies == failed.keys() or self._setup.scorers.gives_objects()
        for work, failure in failed.items():
            if work in of_studies or (gives_objects and self._may_be_read_later(work, failure)):
                self._postpone(work, failure)
            elif gives_objects:
                self._retry(work, failure)
            else:
                self._wait_for_objects(work, failure.error)

    def _may_be_read_later(self, work: PartitionedInstance, failure: FailedInstance) -> bool:
        return failure.delay is Delay.UNREAD and self._jobs.delays(work, Delay.UNREAD) < len(UNREAD_PAUSES_S)

    def _retry(self, work: PartitionedInstance, failure: FailedInstance) -> None:
        """Queue a failed object again, or give it up after its last attempt."""
        error = failure.error
        count, tries = self._jobs.count_failure(work), self._setup.tries
        with about(study=work.instance.study_instance_uid, object=work.sop_instance_uid):
            logger.error("%s failed, attempt %d of %d: %s", work.key, count, tries, error)
        if count >= tries:
            self._give_up(work, error, count)
            return
        if not work.partition:
            self._setup.metrics.retries.inc()
        if failure.delay is None:
            self._jobs.again(work)
        else:
            self._postpone(work, failure)

    def _wait_for_objects(self, work: PartitionedInstance, error: str) -> None:
        self._setup.progress.failed("the store gives no objects: nothing is scored until it does")
        logger.error("%s waits, as the store gives no objects now: %s", work.key, error)
        self._jobs.again(work)
        self._stop.wait(_PAUSE_S)

    def _postpone(self, work: PartitionedInstance, failure: FailedInstance) -> None:
        why = failure.delay or Delay.UNDECIDED
        pause_s = self._jobs.postpone(work, why)
        with about(study=work.instance.study_instance_uid, object=work.sop_instance_uid):
            logger.error("%s waits, and is tried again after %d s or more: %s", work.key, pause_s, failure.error)
        if not work.partition:
            self._setup.metrics.postponed.labels(why).inc()

    def _give_up(self, work: PartitionedInstance, error: str, tries: int) -> None:
        left = self._setup.scorers.give_up(work, error, tries)
        if left is None:
            self._jobs.end([work])
        else:
            self._postpone(work, left)


def split_ready(started: Started, wait_s: float) -> tuple[Started, Started]:
    """Wait for a batch, ``wait_s`` seconds at most, and return its decoded objects and those that take longer."""
    wait_until_ready([decode for _, decode in started], wait_s)
    ready = [each for each in started if each[1].is_ready]
    return ready, [each for each in started if each not in ready]


def _stop_waiting() -> None:
    raise StopRequested


def _redis_failure(error: RedisError) -> str:
    return f"Redis does not answer ({cause(error)}): nothing is scored"


def worker_name() -> str:
    """Return a new name that no other worker has; also that of its lock in the spool."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


def run(spool: Store, setup: WorkerSetup, connect: Callable[[], Redis], begin: Callable[[str], object]) -> None:
    """Work until a signal to stop. After an error of Redis or the disk the loop starts anew, the models loaded.

    ``begin`` is called with the worker's name before its first job, each time.
    """
    while not setup.stop.received:
        name = worker_name()
        try:
            with spool.workers.hold(name), connect() as client:
                begin(name)  # the objects of a dead worker come before anything new
                BatchWorker(name, client, setup, spool.workers.is_fenced).work(logging_level="WARNING")
        except RedisError as error:
            setup.progress.failed(_redis_failure(error))
            logger.error("Redis: %s; trying again", error)
        except OSError as error:
            setup.progress.failed(f"the spool cannot be used ({cause(error)}): nothing is scored")
            logger.error("spool: %s; trying again", error)
        setup.stop.wait(_PAUSE_S)
