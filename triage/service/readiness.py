"""Readiness of a process that needs Redis."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from redis.exceptions import RedisError

from triage.errors import cause


def ready_with_redis(client: Redis, started: Sequence[object], doing: str) -> tuple[bool, str]:
    """Return whether a process has started and Redis answers, and ``doing`` or why not.

    ``started`` is empty until it has.
    """
    if not started:
        return False, "starting"
    try:
        client.ping()
    except RedisError as error:
        return False, f"Redis does not answer ({cause(error)})"
    return True, doing
