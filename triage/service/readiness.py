"""Readiness of a process that needs Redis."""

from __future__ import annotations

from threading import Event

from redis import Redis
from redis.exceptions import RedisError

from triage.errors import cause


def ready_with_redis(client: Redis, started: Event, doing: str) -> tuple[bool, str]:
    """Return whether a process has started and Redis answers, and ``doing`` or why not."""
    if not started.is_set():
        return False, "starting"
    try:
        client.ping()
    except RedisError as error:
        return False, f"Redis does not answer ({cause(error)})"
    return True, doing
