"""The live processes that share a store, and the models and destinations that a person has switched off."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Protocol

OTHER_PROCESSES = ("up", "deliver")
"""Names of processes that are no workers."""
_WORKER = re.compile(r"[A-Za-z0-9._-]{1,255}")
_SWITCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,95}")


class LiveWorkers(Protocol):
    """The live processes of a store. A name is held until its process releases it or dies."""

    def hold(self, worker_name: str) -> AbstractContextManager[None]:
        """Hold the name of a worker, for its life. Raises BlockingIOError if another process holds it."""

    def hold_alone(self, name: str, refusal: Exception) -> AbstractContextManager[int]:
        """Hold the name of a process of which one at most may run. Raises ``refusal`` if another one holds it.

        Yields a descriptor that a forked child has to close, or -1 where there is none.
        """

    def is_alive(self, worker_name: str) -> bool:
        """Return whether a worker lives. False for a malformed name."""

    def has_died(self, worker_name: str) -> bool:
        """Return whether a worker ended without releasing its name."""

    def count(self) -> tuple[int, int]:
        """Return the numbers of live workers, and of dead ones whose name is still known."""

    def remove_old(self, before: float) -> None:
        """Forget the dead workers that started before ``before`` (POSIX seconds)."""


class SwitchSet(Protocol):
    """Kill switches of one kind, for every process at once and across restarts. Every method raises OSError."""

    def disabled(self) -> frozenset[str]:
        """Return the names that are disabled."""

    def is_disabled(self, name: str) -> bool:
        """Return whether ``name`` is disabled."""

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable or enable ``name``, durably. Raises ValueError for a name that cannot be one."""


def names_a_worker(name: str) -> bool:
    """Return whether a worker can have this name: it may come from Redis, where other programs can write."""
    return bool(_WORKER.fullmatch(name)) and name not in (".", "..", *OTHER_PROCESSES)


def checked_switch(name: str) -> str:
    """Return the name of a model or a destination. Raises ValueError for another text."""
    if not _SWITCH.fullmatch(name):
        raise ValueError(f"not a name of a model or a destination: {name[:80]!r}")
    return name
