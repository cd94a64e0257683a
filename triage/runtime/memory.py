"""How much memory this process and its children may use: the machine's, or the container's if that is less."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def most_memory() -> int:
    """In bytes."""
    limits: list[int] = [psutil.virtual_memory().total, *filter(None, map(_limit, _LIMITS))]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def _limit(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # there is none, or it says "max"
        return None
