"""Keys of Redis that are ours and hold what they must not: removed, because every command on one fails.

What is kept in Redis is a hint; the sweep puts back what was in a removed key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def remove_wrong_types(client: Any, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Delete each key of ``wanted`` that is of another type than its value says; their names. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    for name in wanted:
        pipeline.type(name)
    found = dict(zip(wanted, pipeline.execute(), strict=True))
    wrong = tuple(name for name, kind in found.items() if kind not in (b"none", wanted[name].encode()))
    if wrong:
        client.delete(*wrong)
    return wrong


def keep(client: Any, names: Iterable[str]) -> int:
    """Take away when keys are to expire that must not; how many were to. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.persist(name)
    return sum(map(bool, pipeline.execute()))
