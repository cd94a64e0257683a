"""Another try for dead letters of scoring."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from redis.exceptions import RedisError

from triage.queue.score_queue import ScoreQueue
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store


def requeue(spool: Store, client: Redis, instances: Sequence[ReceivedInstance]) -> RedisError | None:
    """Move dead letters back to the inbox and queue them.

    Returns the error if Redis did not respond: the next sweep queues what is in the inbox. Raises FileNotFoundError for
    an object that is no dead letter, and OSError.
    """
    for instance in instances:
        spool.requeue(instance)
    jobs = ScoreQueue(client)
    try:
        for instance in instances:
            jobs.again(instance)
    except RedisError as error:
        return error
    return None
