"""The state of the queues and of jobs, read from Redis, where other programs can write: malformed content is no job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from redis import Redis
from redis.exceptions import ResponseError

from triage.queue import rq_adapter as rq
from triage.queue.names import JOB_PREFIX, PRIORS, QUEUE, STAT, Queued, job_id
from triage.queue.rq_adapter import Job

POSTPONED = rq.JobStatus.SCHEDULED.value
"""The status of a job that is in no queue for a time."""
LONGEST_PAUSE_S = 900
JOB_ID = re.compile(rb"[A-Za-z0-9_-]{1,512}")
_SCANNED_AT_ONCE = 500


class JobStates:
    """Reads the queues and their jobs. Methods raise RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._queue = rq.open_queue(QUEUE, client)
        self._priors = rq.open_queue(PRIORS, client)
        self._stat = rq.open_queue(STAT, client)
        self._queue_keys = (self._queue.key, self._priors.key, self._stat.key)

    def state(self, instance: Queued) -> tuple[str, str]:
        """Return the status of an object's job and the worker that started it; empty texts for no job."""
        return self.states([instance])[0]

    def states(self, instances: Sequence[Queued]) -> list[tuple[str, str]]:
        """Return the ``state`` of many objects in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for instance in instances:
            pipeline.hmget(rq.job_key(job_id(instance)), ["status", "worker_name"])
        replies = pipeline.execute(raise_on_error=False)
        pairs = (("", "") if isinstance(each, Exception) else each for each in replies)
        return [(_text(status), _text(worker)) for status, worker in pairs]

    def describe(self, instance: Queued) -> str:
        """Return the state of an object's job as a text for people."""
        status, worker = self.state(instance)
        return f"{status} by {worker}" if worker and status == "started" else status or "not queued"

    def is_postponed(self, instance: Queued) -> bool:
        """Return whether an object is kept out of the queue for a time of ours, which ends by itself."""
        return 0 < int(self._client.ttl(rq.job_key(job_id(instance)))) <= LONGEST_PAUSE_S

    def is_of_priors(self, instances: Sequence[Queued]) -> list[bool]:
        """Return for each object whether its job is one of the priors', in the queue or in work."""
        return [origin == PRIORS for origin in self.origins(instances)]

    def origins(self, instances: Sequence[Queued]) -> list[str]:
        """Return for each object the queue of its job, in the queue or in work; an empty text for no job."""
        pipeline = self._client.pipeline(transaction=False)
        for instance in instances:
            pipeline.hget(rq.job_key(job_id(instance)), "origin")
        return [_text(origin) for origin in pipeline.execute(raise_on_error=False)]

    def _read(self, ids: Sequence[bytes], jobs: Sequence[Sequence[bytes]]) -> list[Job]:
        """Return the jobs of these IDs with their fields, without malformed IDs and those of no job."""
        return [
            rq.read_job(name.decode(), dict(zip(fields[::2], fields[1::2], strict=True)), self._client)
            for name, fields in zip(ids, jobs, strict=True)
            if fields and JOB_ID.fullmatch(name)
        ]

    def jobs(self) -> Iterator[bytes]:
        """Yield the IDs of all jobs of objects, in a queue or not."""
        for name in self._client.scan_iter(f"{rq.job_key(JOB_PREFIX)}*", count=_SCANNED_AT_ONCE):
            yield name.removeprefix(rq.job_key().encode())

    def waiting_ids(self) -> set[str]:
        """Return the IDs of the jobs in the queues.

        Without those between the queue and a worker: a worker that died there left its jobs. If it is alive after all,
        its object is scored twice, with one result.
        """
        return {_text(each) for key in self._queue_keys for each in self._client.lrange(key, 0, -1)}

    def depth(self) -> int:
        """Return the number of jobs that wait, priors included."""
        return sum(self.depths().values())

    def depths(self) -> dict[str, int]:
        """Return the number of jobs that wait, by queue."""
        pipeline = self._client.pipeline(transaction=False)
        for key in self._queue_keys:
            pipeline.llen(key)
        return {name: int(depth) for name, depth in zip((QUEUE, PRIORS, STAT), pipeline.execute(), strict=True)}

    def is_idle(self, worker: str) -> bool:
        """Return whether a worker reports that it has no job in work."""
        try:
            return self._client.hget(rq.worker_key(worker), "state") == b"idle"
        except ResponseError:
            return False


def _text(value: bytes | str | Exception | None) -> str:
    """Return a text from Redis, which may be malformed; empty for none, and for an error in its place."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
