"""The queue of objects to score, on RQ: jobs are added, counted and removed here, and taken by the worker."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from redis.client import Pipeline
from redis.exceptions import ResponseError

from triage.queue import rq_adapter as rq
from triage.queue.connection import connect
from triage.queue.job_states import JOB_ID, POSTPONED, JobStates
from triage.queue.names import FUNCTIONS, PRIORS, QUEUE, SCORE, STAT, Delay, PartitionedInstance, Queued, job_id
from triage.queue.rq_adapter import Job, JobLimits, Queue
from triage.queue.scripts import BEGIN, ENQUEUE, TAKE
from triage.runtime.key_types import keep, remove_wrong_types

__all__ = [
    "FUNCTIONS",
    "PRIORS",
    "QUEUE",
    "SCORE",
    "STAT",
    "Delay",
    "PartitionedInstance",
    "Queued",
    "ScoreQueue",
    "connect",
    "job_id",
]

JOB_TIMEOUT_S = 3600
_WAITING_TTL_S = 7 * 24 * 3600  # then the sweep queues it anew; jobs of removed objects do not accumulate
_FAILURE_TTL_S = 30 * 24 * 3600

_LIMITS = JobLimits(JOB_TIMEOUT_S, _WAITING_TTL_S, _FAILURE_TTL_S)
_NUMBER_OF_PRIORS, _NUMBER_OF_STAT = 2, 3
"""Of their queues in ``JobStates``' order."""

_FAILURES = "cxr-triage:failures"
_DEATHS = "cxr-triage:deaths"
_DELAYS = "cxr-triage:delays"
PAUSES_S = (15, 30, 60, 120, 240)
"""Seconds for which an object is kept out of the queue, one after another; the last one again and again."""
UNREAD_PAUSES_S = (0, *PAUSES_S)
"""The same for one that cannot be read, which is often over at once. Failures count when all of them have passed."""
_WORKER_KEY = re.compile(re.escape(rq.worker_key().encode()) + rb"[\x21-\x7e]{1,512}")
_WORKER_SETS = rq.worker_sets((QUEUE, PRIORS, STAT))
_LARGEST_COUNT = 1000  # of failures and deaths an object is given up long before; delays begin anew


@dataclass(frozen=True)
class QueueRepair:
    """Entries that a repair removed from Redis: keys of a wrong type, and the number of IDs of no job or worker."""

    keys: tuple[str, ...]
    ids: int


class ScoreQueue(JobStates):
    """The queue of objects to score. Methods raise RedisError."""

    def enqueue(self, instance: Queued, prior: bool = False, stat: bool = False) -> bool:
        """Queue an object, and return False if it has a job already. After RedisError the sweep queues it.

        A prior goes behind all others, one of a STAT order before them. A worker waits for the first queue alone, and
        polls the others before it waits: so if all are empty, the object goes into the first, and wakes the worker.
        """
        name, number = job_id(instance), _NUMBER_OF_PRIORS if prior else _NUMBER_OF_STAT
        fields = rq.new_job(self._queue, name, instance.sop_instance_uid, SCORE, instance.key, _LIMITS)
        keys = (rq.job_key(name), rq.queues_key(), *self._queue_keys)
        apart = [int(prior or stat), number]
        to = self._client.eval(ENQUEUE, len(keys), *keys, _WAITING_TTL_S, *apart, name, *(QUEUE, PRIORS, STAT), *fields)
        if to == _NUMBER_OF_STAT:
            self.wake()  # the worker may have begun to wait in between
        return bool(to)

    def take(
        self, queues: Sequence[Queue], count: int, pipeline: Pipeline | None = None
    ) -> tuple[Queue | None, list[Job]]:
        """Return up to ``count`` jobs of the first of ``queues`` that has any, and that queue; None if none has one.

        IDs that are malformed, or of no job, are dropped. The commands that ``pipeline`` has go with it.
        """
        pipeline = pipeline or self._client.pipeline(transaction=False)
        keys = [key for queue in queues for key in (queue.key, rq.intermediate_key(queue.key))]
        pipeline.eval(TAKE, len(keys), *keys, count, rq.job_key())
        number, ids, jobs = pipeline.execute()[-1]
        return queues[number - 1] if number else None, self._read(ids, jobs)

    def begin(self, jobs: Sequence[tuple[Job, Queued]], worker: str) -> list[int]:
        """Record that ``worker`` has jobs, and return for each how many workers died while they had it in work.

        Jobs with which one died are not recorded: they come later, each alone.
        """
        if not jobs:
            return []
        keys = [_DEATHS, *(job.key for job, _ in jobs)]
        found = self._client.eval(BEGIN, len(keys), *keys, worker, *(instance.key for _, instance in jobs))
        deaths = self._believed([instance for _, instance in jobs], found)
        if odd := [each for each, count, text in zip(jobs, deaths, found, strict=True) if text and not count]:
            self.started(odd, worker)  # another program wrote the number
        return deaths

    def started(self, jobs: Sequence[tuple[Job, Queued]], worker: str) -> None:
        """Record that ``worker`` has jobs, whatever became of other workers that had them."""
        pipeline = self._client.pipeline(transaction=False)
        for job, _ in jobs:
            pipeline.hset(job.key, mapping={"status": "started", "worker_name": worker})
        pipeline.execute()

    def again(self, instance: Queued, prior: bool | None = None, stat: bool | None = None) -> None:
        """Queue an object anew, whatever the state of its job. ``prior`` and ``stat`` None: as its job has it."""
        origin = self.origins([instance])[0]
        self.forget(instance)
        known = (origin == PRIORS if prior is None else prior, origin == STAT if stat is None else stat)
        self.enqueue(instance, *known)

    def forget(self, instance: Queued) -> None:
        """Remove an object's job, if there is one, in any state."""
        name = job_id(instance)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(rq.job_key(name))
        for key in self._queue_keys:
            pipeline.lrem(key, 0, name)
        pipeline.zrem(rq.failed_jobs(self._queue).key, name)
        pipeline.execute()

    def postpone(self, instance: Queued, why: Delay) -> int:
        """Keep an object out of the queue, each time for longer; return for how many seconds.

        Its job stays for that time, in no queue; the next sweep after it queues the object. 0: it is queued already.
        """
        count = self._count(_DELAYS, _delay_of(why, instance))
        pauses = UNREAD_PAUSES_S if why is Delay.UNREAD else PAUSES_S
        pause_s = pauses[min(count, len(pauses)) - 1]
        if not pause_s:
            self.again(instance)
            return pause_s
        origin = self.origins([instance])[0]
        self.forget(instance)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hset(rq.job_key(job_id(instance)), mapping={"status": POSTPONED, "origin": origin})
        pipeline.expire(rq.job_key(job_id(instance)), pause_s)
        pipeline.execute()
        return pause_s

    def delays(self, instance: Queued, why: Delay) -> int:
        """Return how often an object was put off for a reason."""
        count = _number(self._client.hget(_DELAYS, _delay_of(why, instance)))
        return count if 0 <= count <= _LARGEST_COUNT else 0

    def end(self, instances: Sequence[Queued]) -> None:
        """Remove the jobs of finished objects, and their counts of failures, deaths and delays."""
        if not instances:
            return
        keys = [instance.key for instance in instances]
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(*(rq.job_key(job_id(instance)) for instance in instances))
        pipeline.hdel(_FAILURES, *keys)
        pipeline.hdel(_DEATHS, *keys)
        pipeline.hdel(_DELAYS, *(_delay_of(why, instance) for why in Delay for instance in instances))
        pipeline.execute()

    def refuse(self, job: Job, reason: str) -> None:
        """Add a job that must not run to RQ's failed jobs, where `rq info` and dashboards show it."""
        registry = rq.failed_jobs(self._queue)
        pipeline: Pipeline = self._client.pipeline(transaction=False)
        pipeline.hset(job.key, mapping={"status": "failed", "exc_info": reason})
        pipeline.expire(job.key, _FAILURE_TTL_S)
        pipeline.zadd(registry.key, {job.id: int(time.time()) + _FAILURE_TTL_S})
        pipeline.execute()

    def count_failure(self, instance: Queued) -> int:
        """Count a failed attempt at an object, and return the number of attempts."""
        return self._count(_FAILURES, instance.key)

    def count_death(self, instance: Queued) -> None:
        """Count a worker that died while it had the object in work."""
        self._count(_DEATHS, instance.key)

    def _count(self, name: str, field: str) -> int:
        try:
            return self._counted(name, field)
        except ResponseError:  # another program wrote a text, or a key of another type
            remove_wrong_types(self._client, _TYPES)
            if self._client.type(name) == b"hash":
                self._client.hdel(name, field)
            return self._counted(name, field)

    def _counted(self, name: str, field: str) -> int:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hincrby(name, field, 1)
        pipeline.expire(name, _WAITING_TTL_S)  # a count that `end` did not remove, because of a crash, expires
        count = int(pipeline.execute()[0])
        if 1 <= count <= _LARGEST_COUNT:
            return count
        self._client.hset(name, field, 1)  # written by another program: we never count so far
        return 1

    def deaths(self, instances: Sequence[Queued]) -> list[int]:
        """Return for each object how many workers died while they had it in work."""
        if not instances:
            return []
        return self._believed(instances, self._client.hmget(_DEATHS, [instance.key for instance in instances]))

    def _believed(self, instances: Sequence[Queued], found: Sequence[bytes | str | None]) -> list[int]:
        counts = [_number(each) for each in found]
        if wrong := [each.key for each, count in zip(instances, counts, strict=True) if count > _LARGEST_COUNT]:
            self._client.hdel(_DEATHS, *wrong)  # no object is given up for a number that another program wrote
        return [count if 0 <= count <= _LARGEST_COUNT else 0 for count in counts]

    def mend(self) -> QueueRepair:
        """Remove keys of a wrong type, and malformed IDs of jobs and workers: each would stop a worker."""
        wrong = remove_wrong_types(self._client, _TYPES)
        keep(self._client, self._queue_keys)
        count = 0
        for name in self._queue_keys:
            for each in set(cast("list[bytes]", self._client.lrange(name, 0, -1))):
                if not JOB_ID.fullmatch(each):
                    count += int(self._client.lrem(name, 0, each))  # type: ignore[arg-type]
        for name in _WORKER_SETS:
            for each in cast("set[bytes]", self._client.smembers(name)):
                if not _WORKER_KEY.fullmatch(each):
                    count += int(self._client.srem(name, each))
        return QueueRepair(wrong, count)

    def remove_jobs(self, ids: Collection[bytes]) -> int:
        """Remove jobs of finished objects, and return their number; refused jobs stay, for people to inspect."""
        pipeline = self._client.pipeline(transaction=False)
        for each in ids:
            pipeline.hget(rq.job_key().encode() + each, "status")
        replies = zip(ids, pipeline.execute(raise_on_error=False), strict=True)
        gone = [each for each, status in replies if status != b"failed"]
        pipeline = self._client.pipeline(transaction=False)
        for each in gone:
            pipeline.delete(rq.job_key().encode() + each)
            for key in self._queue_keys:
                pipeline.lrem(key, 0, each)  # type: ignore[arg-type]
        pipeline.execute()
        return len(gone)

    def tidy(self) -> None:
        """Empty the intermediate lists between queue and worker, and remove expired failed jobs.

        RQ would resume the jobs that a dead worker left there. Here the inbox is the list of work.
        """
        self._client.delete(*map(rq.intermediate_key, self._queue_keys))
        rq.failed_jobs(self._queue).cleanup()

    def wake(self) -> None:
        """Wake a worker that began to wait while there was something in the other queues."""
        for key in (self._stat.key, self._priors.key):
            if not self._client.llen(self._queue.key):
                self._client.lmove(key, self._queue.key, "LEFT", "RIGHT")


def _delay_of(why: Delay, instance: Queued) -> str:
    return f"{why} {instance.key}"


def _number(value: bytes | str | None) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0


_TYPES = {
    **rq.key_types((QUEUE, PRIORS, STAT)),
    **dict.fromkeys((_FAILURES, _DEATHS, _DELAYS), "hash"),
}
"""The keys that every worker uses, ours and RQ's, each with its type in Redis."""
