"""The locks of workers: one file for each live process, held by flock, so that the kernel releases it if it dies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from triage.runtime.file_lock import file_lock, is_held, single_instance
from triage.spool.processes import OTHER_PROCESSES, LedElsewhereError, names_a_worker


class LockedLead:
    """A place that is held by a lock of the kernel: it is lost with the process alone."""

    lost, is_certain = False, True

    def keep_until_the_end(self) -> None:
        """Change nothing: there is no process on another host that it could be kept from."""


class WorkerLocks:
    """The locks in one folder of the spool."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, worker_name: str) -> Iterator[None]:
        """Hold the lock of a worker, for its life. Raises BlockingIOError if another process holds it."""
        path = self._folder / worker_name
        with file_lock(path, blocking=False):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # while we hold it, so that no other process can

    @contextmanager
    def hold_alone(self, name: str, refusal: Exception) -> Iterator[int]:
        """Hold the lock of a process of which one at most may run; yields its descriptor.

        Raises ``refusal`` if another one holds it.
        """
        path = self._folder / name
        with single_instance(path, refusal) as descriptor:
            try:
                yield descriptor
            finally:
                path.unlink(missing_ok=True)  # as in ``hold``

    @contextmanager
    def lead(self, name: str) -> Iterator[LockedLead]:
        """Hold the place of a process of which one leads. Raises LedElsewhereError if another one does."""
        with self.hold_alone(name, LedElsewhereError(socket.gethostname())):
            yield LockedLead()

    def leader(self, name: str) -> str:
        """Return this host if one of its processes leads; empty if there is none."""
        return socket.gethostname() if is_held(self._folder / name) else ""

    def is_fenced(self) -> bool:
        """Return False: a lock of the kernel is lost with the process alone."""
        return False

    def is_alive(self, worker_name: str) -> bool:
        """Return whether a process holds the worker's lock: true exactly while the process lives.

        False for a malformed name: it may come from Redis, where other programs can write.
        """
        return names_a_worker(worker_name) and is_held(self._folder / worker_name)

    def has_died(self, worker_name: str) -> bool:
        """Return whether the worker's process ended without releasing its lock: killed, or crashed."""
        path = self._folder / worker_name
        return names_a_worker(worker_name) and path.exists() and not is_held(path)

    def count(self) -> tuple[int, int]:
        """Return the numbers of live workers, and of dead ones whose lock has not been removed."""
        names = [path.name for path in self._folder.iterdir() if path.name not in OTHER_PROCESSES]
        held = [name for name in names if self.is_alive(name)]
        return len(held), len(names) - len(held)

    def connected(self) -> list[str]:
        """Return nothing: who has files open is not noted."""
        return []

    def remove_old(self, before: float) -> None:
        """Remove the locks of dead workers that started before ``before`` (POSIX seconds)."""
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError, BlockingIOError):
                if path.stat().st_mtime < before:
                    with file_lock(path, blocking=False):
                        path.unlink()
