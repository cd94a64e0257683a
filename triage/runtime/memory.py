"""Memory that this process and its children may use: the machine's, or the container's if that is less."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


def machine_s_memory() -> int:
    """Return the memory of the machine in bytes, whatever part of it this process may use."""
    return int(psutil.virtual_memory().total)


def most_memory() -> int:
    """Return the bytes that this process may use."""
    limits: list[int] = [machine_s_memory(), *filter(None, map(_number, _limit_files()))]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def limit_memory(most: int) -> None:
    """Let this process use ``most`` bytes, or less where it may use less already: more raises MemoryError."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _limit_files() -> Iterator[Path]:
    """Yield the files of the limits of this process's control group, of version 2 and 1, and of a container's root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        for folder in (path.strip("/"), ""):
            if not kinds:
                yield _GROUPS / folder / "memory.max"
            elif "memory" in kinds.split(","):
                yield _GROUPS / "memory" / folder / "memory.limit_in_bytes"


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # there is none, or it is "max"
        return None
