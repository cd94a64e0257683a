"""Unread studies of priority HIGH, of the index: their number, and which."""

from __future__ import annotations

from typing import cast

from redis import Redis

from triage.decision.types import Priority
from triage.worklist import index_keys as keys
from triage.worklist.index_keys import study_of


def unread_high(client: Redis, at_most: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of unread studies of priority HIGH, and up to ``at_most`` of them, those that came last.

    Raises RedisError.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.zcard(keys.LISTS[Priority.HIGH])
    pipeline.zrange(keys.LISTS[Priority.HIGH], -at_most, -1)
    count, members = cast("tuple[int, list[bytes]]", tuple(pipeline.execute()))
    return count, tuple(uid for member in members if (uid := study_of(member)))
