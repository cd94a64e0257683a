"""The live processes that share a store, and the models and destinations that a person has switched off."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Protocol

from triage.errors import TriageError

OTHER_PROCESSES = ("up", "deliver")
"""Names of processes that are no workers."""
_WORKER = re.compile(r"[A-Za-z0-9._-]{1,255}")
_SWITCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,95}")


class LedElsewhereError(TriageError):
    """Another process leads. ``host``: where it runs; empty if that is not known."""

    def __init__(self, host: str) -> None:
        super().__init__(f"host {host or 'unknown'} leads")
        self.host = host


class LeaseLostError(OSError):
    """A process stood still for too long, or was cut off: another one has its place, and it must not act any more."""


class Lead(Protocol):
    """The place of a process of which one leads among all hosts, while it is held."""

    @property
    def lost(self) -> bool:
        """True from when this process knows that another one leads: it is fenced, and has to end."""

    @property
    def is_certain(self) -> bool:
        """True while no other process can have taken it."""

    def keep_until_the_end(self) -> None:
        """Do not give it back at the end of the block: a thread of this process may be at work still."""


class LiveWorkers(Protocol):
    """The live processes of a store. A name is held until its process releases it or dies."""

    def hold(self, worker_name: str) -> AbstractContextManager[None]:
        """Hold the name of a worker, for its life. Raises BlockingIOError if another process holds it."""

    def hold_alone(self, name: str, refusal: Exception) -> AbstractContextManager[int]:
        """Hold the name of a process of which one at most may run. Raises ``refusal`` if another one holds it.

        Yields a descriptor that a forked child has to close, or -1 where there is none.
        """

    def lead(self, name: str) -> AbstractContextManager[Lead]:
        """Hold the place of a process of which one leads. Raises LedElsewhereError if another one does.

        One that is silent for too long is not waited for: its sessions are ended, and its place is taken.
        """

    def leader(self, name: str) -> str:
        """Return the host whose process leads; empty if there is none."""

    def is_alive(self, worker_name: str) -> bool:
        """Return whether a worker lives. False for a malformed name."""

    def has_died(self, worker_name: str) -> bool:
        """Return whether a worker ended without releasing its name."""

    def is_fenced(self) -> bool:
        """Return whether this process knows that a name it holds was taken from it: it has to hold a new one."""

    def count(self) -> tuple[int, int]:
        """Return the numbers of live workers, and of dead ones whose name is still known."""

    def connected(self) -> list[str]:
        """Return the other processes that have the store open, as host and process ID, also those of no lease.

        Empty where that cannot be told: of files, and of a database in which there are other installations.
        """

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
