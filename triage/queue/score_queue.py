"""The queue's names and the little that is done with it: everything else about RQ is in ``worker``."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, Self, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from triage.queue import rq_adapter as rq
from triage.queue.rq_adapter import DuplicateJobError, Job
from triage.runtime.key_types import keep, remove_wrong_types
from triage.spool.instance import ReceivedInstance

QUEUE = "score"
PRIORS = "score-priors"
"""What nobody waits for: workers take it when the other queue is empty, and now and then all the same."""

# In Redis, where jobs of an older release may lie: the text stays whatever the module is called.
SCORE = "triage.jobs.score"
FUNCTIONS = frozenset({SCORE})
"""The closed list of job functions. Callbacks are not on it: rq would import them by name."""

JOB_TIMEOUT_S = 3600
_WAITING_TTL_S = 7 * 24 * 3600  # then the sweep queues it anew; jobs of objects that are gone do not pile up
_FAILURE_TTL_S = 30 * 24 * 3600

_FAILURES = "cxr-triage:failures"
_DEATHS = "cxr-triage:deaths"
_JOB_ID = re.compile(rb"[A-Za-z0-9_-]{1,512}")
_WORKER_KEY = re.compile(re.escape(rq.worker_key().encode()) + rb"[\x21-\x7e]{1,512}")
_WORKER_SETS = rq.worker_sets((QUEUE, PRIORS))
_JOBS_OF_OURS = "score_"
_SCANNED_AT_ONCE = 500
_LARGEST_COUNT = 1000  # of failures and deaths: an object is given up long before


def connect(url: str, timeout_s: float) -> Redis:
    """A client with a connection pool of its own: a worker changes the time limits of its pool."""
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


class Queued(Protocol):
    """What has a job: an object of the patients' spool, or one that is told apart."""

    @property
    def key(self) -> str:
        """Names it in the queue."""

    @property
    def sop_instance_uid(self) -> str:
        """Its SOP Instance UID."""


@dataclass(frozen=True)
class PartitionedInstance:
    """One object and its partition: the partition's name, or empty for the patients' spool."""

    partition: str
    instance: ReceivedInstance

    @property
    def key(self) -> str:
        """The object's key, behind ``PARTITION/`` if it lies in one."""
        return f"{self.partition}/{self.instance.key}" if self.partition else self.instance.key

    @property
    def sop_instance_uid(self) -> str:
        """That of the object."""
        return self.instance.sop_instance_uid

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The work that ``key`` names; ValueError if it is not a key."""
        partition, _, rest = key.rpartition("/")
        return cls(partition, ReceivedInstance.from_key(rest))


def job_id(instance: Queued) -> str:
    """A job ID that names the object: rq allows letters, digits, _ and - only, and UIDs have dots."""
    digest = sha256(instance.key.encode()).hexdigest()[:32]
    return f"score_{instance.sop_instance_uid.replace('.', '-')}_{digest}"


class ScoreQueue:
    """The queue of objects to score."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._queue = rq.open_queue(QUEUE, client)
        self._priors = rq.open_queue(PRIORS, client)

    def enqueue(self, instance: Queued, prior: bool = False) -> bool:
        """Queue an object; False if a job of it exists already. RedisError leaves it to the sweep.

        A prior goes behind all others. A worker waits for the first queue alone, and looks into the second before it
        waits: so where both are empty, a prior goes into the first, and wakes it.
        """
        queue = self._priors if prior and any(self.depths().values()) else self._queue
        try:
            queue.enqueue_call(
                SCORE,
                args=[instance.key],
                job_id=job_id(instance),
                description=instance.sop_instance_uid,
                timeout=JOB_TIMEOUT_S,
                ttl=_WAITING_TTL_S,
                result_ttl=0,
                failure_ttl=_FAILURE_TTL_S,
                unique=True,
            )
        except DuplicateJobError:
            return False
        return True

    def again(self, instance: Queued, prior: bool | None = None) -> None:
        """Queue an object anew, whatever became of its job. ``prior``: as its job says, where that is None."""
        known = self.is_of_priors([instance])[0] if prior is None else prior
        self.forget(instance)
        self.enqueue(instance, known)

    def forget(self, instance: Queued) -> None:
        """Remove an object's job, if there is one, wherever it lies."""
        name = job_id(instance)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(rq.job_key(name))
        pipeline.lrem(self._queue.key, 0, name)
        pipeline.lrem(self._priors.key, 0, name)
        pipeline.zrem(rq.failed_jobs(self._queue).key, name)
        pipeline.execute()

    def end(self, instances: Sequence[Queued]) -> None:
        """Remove what is kept of objects that are done with: their jobs, and what went wrong before."""
        if not instances:
            return
        keys = [instance.key for instance in instances]
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(*(rq.job_key(job_id(instance)) for instance in instances))
        pipeline.hdel(_FAILURES, *keys)
        pipeline.hdel(_DEATHS, *keys)
        pipeline.execute()

    def refuse(self, job: Job, why: str) -> None:
        """Put a job that must not run among rq's failed jobs, where `rq info` and dashboards show it."""
        registry = rq.failed_jobs(self._queue)
        pipeline: Pipeline = self._client.pipeline(transaction=False)
        pipeline.hset(job.key, mapping={"status": "failed", "exc_info": why})
        pipeline.expire(job.key, _FAILURE_TTL_S)
        pipeline.zadd(registry.key, {job.id: int(time.time()) + _FAILURE_TTL_S})
        pipeline.execute()

    def count_failure(self, instance: Queued) -> int:
        """Count one more attempt at an object that failed; how many there were."""
        return self._count(_FAILURES, instance)

    def count_death(self, instance: Queued) -> None:
        """Count one more worker that died while it had the object in work."""
        self._count(_DEATHS, instance)

    def _count(self, name: str, instance: Queued) -> int:
        try:
            return self._counted(name, instance)
        except ResponseError:  # somebody wrote what is no number, or into a key of another type
            remove_wrong_types(self._client, _TYPES)
            if self._client.type(name) == b"hash":
                self._client.hdel(name, instance.key)
            return self._counted(name, instance)

    def _counted(self, name: str, instance: Queued) -> int:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hincrby(name, instance.key, 1)
        pipeline.expire(name, _WAITING_TTL_S)  # what a crash keeps `end` from removing goes by itself
        count = int(pipeline.execute()[0])
        if 1 <= count <= _LARGEST_COUNT:
            return count
        self._client.hset(name, instance.key, 1)  # somebody wrote a number that we never come to
        return 1

    def deaths(self, instances: Sequence[Queued]) -> list[int]:
        """How many workers died while they had each of the objects in work."""
        if not instances:
            return []
        found = self._client.hmget(_DEATHS, [instance.key for instance in instances])
        counts = [_number(each) for each in found]
        if wrong := [each.key for each, count in zip(instances, counts, strict=True) if count > _LARGEST_COUNT]:
            self._client.hdel(_DEATHS, *wrong)  # nobody is given up for what somebody wrote there
        return [count if 0 <= count <= _LARGEST_COUNT else 0 for count in counts]

    def mend(self) -> tuple[str, int]:
        """Remove keys of a wrong type, and what can be no ID of a job or a worker: each stops a worker that meets it.

        The keys, with spaces between, and how many IDs.
        """
        wrong = remove_wrong_types(self._client, _TYPES)
        keep(self._client, (self._queue.key, self._priors.key))
        count = 0
        for name in (self._queue.key, self._priors.key):
            for each in set(cast("list[bytes]", self._client.lrange(name, 0, -1))):
                if not _JOB_ID.fullmatch(each):
                    count += int(self._client.lrem(name, 0, each))  # type: ignore[arg-type]
        for name in _WORKER_SETS:
            for each in cast("set[bytes]", self._client.smembers(name)):
                if not _WORKER_KEY.fullmatch(each):
                    count += int(self._client.srem(name, each))
        return " ".join(wrong), count

    def jobs(self) -> Iterator[bytes]:
        """The IDs of all jobs of objects, whether they lie in a queue or not."""
        for name in self._client.scan_iter(f"{rq.job_key(_JOBS_OF_OURS)}*", count=_SCANNED_AT_ONCE):
            yield name.removeprefix(rq.job_key().encode())

    def remove_jobs(self, ids: Collection[bytes]) -> int:
        """Remove jobs of which there is nothing to do; those that were refused are left for a person to see."""
        pipeline = self._client.pipeline(transaction=False)
        for each in ids:
            pipeline.hget(rq.job_key().encode() + each, "status")
        answers = zip(ids, pipeline.execute(raise_on_error=False), strict=True)
        gone = [each for each, status in answers if status != b"failed"]
        pipeline = self._client.pipeline(transaction=False)
        for each in gone:
            pipeline.delete(rq.job_key().encode() + each)
            pipeline.lrem(self._queue.key, 0, each)  # type: ignore[arg-type]
            pipeline.lrem(self._priors.key, 0, each)  # type: ignore[arg-type]
        pipeline.execute()
        return len(gone)

    def fetch(self, ids: Sequence[bytes]) -> list[Job]:
        """The jobs of these IDs; what is no ID, or no job, is left out."""
        named = [each.decode() for each in ids if _JOB_ID.fullmatch(each)]
        pipeline = self._client.pipeline(transaction=False)
        for each in named:
            pipeline.hgetall(rq.job_key(each))
        found: list[Job] = []
        for name, content in zip(named, pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(content, dict) and content:
                found.append(rq.read_job(name, content, self._client))
        return found

    def is_idle(self, worker: str) -> bool:
        """Whether a worker says that it has nothing in work."""
        try:
            return self._client.hget(rq.worker_key(worker), "state") == b"idle"
        except ResponseError:
            return False

    def tidy(self) -> None:
        """Empty the lists that jobs pass through on their way to a worker, and forget failed jobs whose time is over.

        rq would take up from them what a dead worker left there. Here the inbox says what is to be done.
        """
        self._client.delete(*map(rq.intermediate_key, (self._queue.key, self._priors.key)))
        rq.failed_jobs(self._queue).cleanup()

    def wake(self) -> None:
        """Have a worker that waits see the priors, should it have gone to wait while there were some."""
        if not self._client.llen(self._queue.key):
            self._client.lmove(self._priors.key, self._queue.key, "LEFT", "RIGHT")

    def is_of_priors(self, instances: Sequence[Queued]) -> list[bool]:
        """Whether each object's job is one of the priors', in the queue or in work."""
        pipeline = self._client.pipeline(transaction=False)
        for instance in instances:
            pipeline.hget(rq.job_key(job_id(instance)), "origin")
        return [_text(origin) == PRIORS for origin in pipeline.execute(raise_on_error=False)]

    def state(self, instance: Queued) -> tuple[str, str]:
        """Status of an object's job and the worker that started it; empty texts for no job, and for what is none."""
        return self.states([instance])[0]

    def states(self, instances: Sequence[Queued]) -> list[tuple[str, str]]:
        """``state`` of many objects in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for instance in instances:
            pipeline.hmget(rq.job_key(job_id(instance)), ["status", "worker_name"])
        answers = pipeline.execute(raise_on_error=False)
        pairs = (("", "") if isinstance(each, Exception) else each for each in answers)
        return [(_text(status), _text(worker)) for status, worker in pairs]

    def waiting_ids(self) -> set[str]:
        """IDs of the jobs that lie in the queues.

        Not those between the queue and a worker: a worker that died just then left its jobs there. Should one be alive
        after all, its object is scored twice, to one result.
        """
        keys = (self._queue.key, self._priors.key)
        return {_text(each) for key in keys for each in self._client.lrange(key, 0, -1)}

    def depth(self) -> int:
        """Jobs that wait, priors too."""
        return sum(self.depths().values())

    def depths(self) -> dict[str, int]:
        """Jobs that wait, by queue."""
        pipeline = self._client.pipeline(transaction=False)
        for queue in (self._queue, self._priors):
            pipeline.llen(queue.key)
        return {name: int(depth) for name, depth in zip((QUEUE, PRIORS), pipeline.execute(), strict=True)}

    def describe(self, instance: Queued) -> str:
        """The state of an object's job in words."""
        status, worker = self.state(instance)
        return f"{status} by {worker}" if worker and status == "started" else status or "not queued"


def _text(value: bytes | str | Exception | None) -> str:
    """A text in Redis, which anybody may have written; empty for none, and for an error in its place."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _number(value: bytes | str | None) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0


_TYPES = {
    **rq.key_types((QUEUE, PRIORS)),
    **dict.fromkeys((_FAILURES, _DEATHS), "hash"),
}
"""Keys that every worker uses, and what each holds: ours, and those of rq that are named after our queues."""
