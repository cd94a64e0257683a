"""The live processes that share a store, and the models and destinations that a person has switched off."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


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
