"""Locks between processes: one file for each, held by flock, so that the kernel releases it when the process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_MAX_ATTEMPTS = 100
"""Times that the folder is made again while another process removes it. A link to nowhere fails each time."""


@contextmanager
def file_lock(path: Path, *, blocking: bool = True) -> Iterator[int]:
    """Hold the lock of the file ``path``, made if it is not there. Not ``blocking``: BlockingIOError if it is held.

    Yields its descriptor, which a forked child has to close: the lock is held until all copies are closed.
    """
    descriptor = _locked(path, blocking)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def single_instance(path: Path, refusal: Exception) -> Iterator[int]:
    """Hold the lock of the file ``path`` alone among all processes; yields its descriptor, as ``file_lock``.

    Raises ``refusal`` if another process holds it.
    """
    with ExitStack() as stack:  # a BlockingIOError of the caller's own is not taken for that of the lock
        try:
            descriptor = stack.enter_context(file_lock(path, blocking=False))
        except BlockingIOError as error:
            raise refusal from error
        yield descriptor


def is_held(path: Path) -> bool:
    """Return True if some process holds the lock of the file ``path``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two such checks do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(path: Path, blocking: bool) -> int:
    """Return a descriptor that holds the lock of the file that ``path`` names now, made if it is not there."""
    while True:
        descriptor = _open_again(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file meanwhile: then this lock protects nothing.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open_again(path: Path) -> int:
    """Return a descriptor of the file ``path``, in a folder that is made if necessary.

    The removal of a study takes the folder away at any moment: after it was made or found there, and before the file
    is opened in it. Then both steps are repeated.
    """
    for _ in range(_MAX_ATTEMPTS):
        with suppress(FileNotFoundError, FileExistsError):  # the latter from mkdir: it was there, and is no more
            return _open_in_its_folder(path)
    return _open_in_its_folder(path)


def _open_in_its_folder(path: Path) -> int:
    private_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, with missing parents, unless they are there.

    ``Path.mkdir`` makes the parents by the process's umask, whatever ``mode`` is.
    """
    missing = [folder]
    while not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
