"""RQ as this package uses it: its classes, the names of its keys in Redis, and every internal of it that we rely on.

No other file imports ``rq``. Written against rq 3.0: ``tests/queue/test_rq_adapter.py`` fails where a release changes
what is used or overridden here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from rq.worker import WorkerStatus

__all__ = [
    "WORKER_TTL_S",
    "Job",
    "JobLimits",
    "JobStatus",
    "Queue",
    "RestrictedWorker",
    "ScoreJob",
    "StopRequested",
    "WorkerStatus",
    "failed_jobs",
    "has_callbacks",
    "intermediate_key",
    "job_key",
    "key_types",
    "new_job",
    "open_queue",
    "queues_key",
    "read_job",
    "worker_key",
    "worker_sets",
]

WORKER_TTL_S = 45
"""In seconds: an idle worker polls Redis every 30 s, and a Redis that is silent for 40 s counts as lost."""

_LONGEST_RECONNECT_S = 2.0


class ScoreJob(Job):
    """A job as it is read from Redis, where its fields may hold anything. Unreadable content is refused later.

    An error raised while reading would end the loop of the worker, and the jobs that it took would wait for the sweep.
    """

    def restore(self, raw_data: dict[bytes, bytes]) -> None:
        """Read the fields of a job's hash; ``data`` is empty where one of them cannot be read."""
        try:
            super().restore(raw_data)
        except Exception:  # the edge: any field may hold anything
            self.data = b""


@dataclass(frozen=True)
class JobLimits:
    """Times of a job in seconds: how long it may run, how long it may wait, and how long a failed one is kept."""

    timeout_s: int
    waiting_ttl_s: int
    failure_ttl_s: int


class _OutageInOneLine(logging.Filter):
    """Turn RQ's traceback of an error of Redis into one line: an outage is no defect, and the worker tries again."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record of an error of Redis; let every record through."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RedisError):
            record.msg, record.args = "Redis: %s; trying again", (error,)
            record.exc_info = record.exc_text = None
        return True


_OUTAGE_IN_ONE_LINE = _OutageInOneLine()


class RestrictedWorker(SimpleWorker):
    """An RQ worker without the features that let anyone who can write to Redis control it or run code in it.

    RQ provides the registration, the heartbeat and the blocking wait for a job; see docs/adr/0002. A subclass
    implements ``execute_job``.
    """

    max_connection_wait_time = _LONGEST_RECONNECT_S

    def __init__(self, name: str, client: Redis, queue: Queue) -> None:
        super().__init__(
            [queue],
            name=name,
            connection=client,
            serializer=JSONSerializer,
            job_class=ScoreJob,
            worker_ttl=WORKER_TTL_S,
        )
        self._registered_queue = queue
        self.log.addFilter(_OUTAGE_IN_ONE_LINE)  # the same filter is added once

    def _install_signal_handlers(self) -> None:
        """Install none: RQ's query Redis inside a signal handler, and a second signal ends a batch half-way."""

    def subscribe(self) -> None:
        """Subscribe to no remote commands: a worker is stopped by a signal."""

    def unsubscribe(self) -> None:
        """Do nothing; see ``subscribe``."""

    def run_maintenance_tasks(self) -> None:
        """Remove workers that are gone from the registry, and nothing else.

        RQ's own maintenance imports and calls the callbacks that abandoned jobs name. Our sweep handles lost jobs.
        """
        worker_registration.clean_worker_registry(self._registered_queue)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Send the heartbeat, in one round trip: RQ needs three."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        own = self.connection.pipeline(transaction=False)
        super().heartbeat(timeout, own)
        own.execute()

    def check_for_suspension(self, burst: bool) -> None:
        """Send a heartbeat, and ignore `rq suspend`: a key in Redis must not stop all scoring without an alert."""
        self.heartbeat()


def open_queue(name: str, client: Redis) -> Queue:
    """Return the queue ``name``, whose jobs are JSON and are read as ``ScoreJob``."""
    return Queue(name, connection=client, serializer=JSONSerializer, job_class=ScoreJob)


def read_job(job_id: str, fields: dict[bytes, bytes], client: Redis) -> Job:
    """Return the job ``job_id`` from the fields of its hash."""
    job = ScoreJob(job_id, connection=client, serializer=JSONSerializer)
    job.restore(fields)
    return job


def has_callbacks(job: Job) -> bool:
    """Return whether the job names a callback, which RQ would import by name, or a webhook, which RQ would call."""
    callbacks = (job._success_callback_name, job._failure_callback_name, job._stopped_callback_name)
    return any(callbacks) or bool(job.webhooks)


def new_job(queue: Queue, job_id: str, description: str, function: str, argument: str, limits: JobLimits) -> list[str]:
    """Return the fields of a new job as RQ saves them, names and values in turn, without the one of its queue."""
    job = queue.create_job(
        function,
        args=[argument],
        job_id=job_id,
        description=description,
        timeout=limits.timeout_s,
        ttl=limits.waiting_ttl_s,
        result_ttl=0,
        failure_ttl=limits.failure_ttl_s,
        status=JobStatus.QUEUED,
    )
    fields = {**job.to_dict(), "enqueued_at": utcformat(now())}
    del fields["origin"]
    return [each for pair in fields.items() for each in pair]


def queues_key() -> str:
    """Return the key of RQ's set of queues."""
    return str(Queue.redis_queues_keys)


def failed_jobs(queue: Queue) -> FailedJobRegistry:
    """Return the registry of the failed jobs of ``queue``."""
    return FailedJobRegistry(queue=queue)


def job_key(job_id: str = "") -> str:
    """Return the key of a job's hash; without an ID the prefix of them all."""
    return f"{Job.redis_job_namespace_prefix}{job_id}"


def worker_key(worker: str = "") -> str:
    """Return the key of a worker's hash; without a name the prefix of them all."""
    return f"{SimpleWorker.redis_worker_namespace_prefix}{worker}"


def worker_sets(queues: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of the sets of registered workers: of all, and of each of ``queues``."""
    by_queue = (worker_registration.WORKERS_BY_QUEUE_KEY % name for name in queues)
    return (worker_registration.REDIS_WORKER_KEYS, *by_queue)


def intermediate_key(queue_key: str) -> str:
    """Return the key of the list that the jobs of a queue pass through on their way to a worker."""
    return str(IntermediateQueue.get_intermediate_queue_key(queue_key))


def key_types(queues: tuple[str, ...]) -> dict[str, str]:
    """Return the keys of RQ that every worker of ``queues`` uses, each with the type that Redis must report for it."""
    lists = [f"{Queue.redis_queue_namespace_prefix}{name}" for name in queues]
    return {
        **dict.fromkeys((*lists, *map(intermediate_key, lists)), "list"),
        **dict.fromkeys((FailedJobRegistry.key_template.format(name) for name in queues), "zset"),
        **dict.fromkeys((Queue.redis_queues_keys, *worker_sets(queues)), "set"),
    }
