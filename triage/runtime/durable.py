"""Durable files: fsync, rename, append, and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from triage.runtime.storage import file_system_of

_REMOVALS_AT_MOST = 100  # of one folder in a row; what still fails then is no removal: a link to nowhere, a file


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_itself(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, and those above it that are missing, unless they are there.

    ``Path.mkdir`` makes those above by the process's umask, whatever ``mode`` says.
    """
    missing = [folder]
    while not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """For ``open(..., opener=...)``: a new file that only its owner can read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def append_durably(path: Path, text: str) -> None:
    """Append ``text`` to a file and wait until it is on the disk."""
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="", opener=private_opener) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if new:
        fsync_folder(path.parent)


@contextmanager
def file_lock(path: Path, *, blocking: bool) -> Iterator[None]:
    descriptor = _locked(path, blocking)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, blocking: bool) -> int:
    """A descriptor that holds the lock of the file that ``path`` names now, made if it is not there."""
    while True:
        descriptor = _made_and_opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # While we waited, its last holder may have removed the file: then what we hold protects nothing.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _made_and_opened(path: Path) -> int:
    """A descriptor of the file ``path``, made in a folder that is made if need be.

    Who removes a study takes the folder away at any moment: after it was made or found there, and before the file is
    opened in it. Then both are done again.
    """
    for _ in range(_REMOVALS_AT_MOST):
        with suppress(FileNotFoundError, FileExistsError):  # the latter from mkdir: it was there, and is no more
            return _open_in_its_folder(path)
    return _open_in_its_folder(path)


def _open_in_its_folder(path: Path) -> int:
    private_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_durably(path: Path, text: str) -> None:
    """Replace a file outside the spool, whole and on the disk; only its owner can read it."""
    replace_file(path, text, path.with_name(f".{path.name}.{uuid4().hex}.part"), rename_file)


def replace_file(
    path: Path,
    content: str | bytes,
    temporary: Path,
    rename: Callable[[Path, Path], None],
    *,
    durable: bool = True,
) -> None:
    """Write ``content`` into ``temporary``, a new file that only its owner can read, and ``rename`` it to ``path``.

    Not ``durable``: whole for whoever reads it, and gone or cut after a power failure.
    """
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, every try would leave one
        raise


def rename_file(source: Path, target: Path, *, durable: bool = True) -> None:
    """Rename and, if ``durable``, wait until the new name is on the disk.

    A FUSE mount answers the fsync of a folder with 0 whether or not it does anything with it (bindfs 1.14 does not).
    The fsync of the file itself comes through, and takes the new name along on the file systems below that journal
    names with files (ext4, XFS, Btrfs). So where syncfs is not believed, both are done.
    """
    if not durable or file_system_of(source.parent).syncs_whole:
        source.rename(target)
        if durable:
            fsync_folder(target.parent)
        return
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)  # before: others may rename it further
    try:
        source.rename(target)
        fsync_folder(target.parent)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_name(path: Path) -> None:
    """Wait until the name of a file or folder, made or renamed just now, is on the disk; see ``rename_file``."""
    fsync_folder(path.parent)
    if not file_system_of(path.parent).syncs_whole:
        _fsync_itself(path)


@contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Hold a file outside the spool alone among all processes; BlockingIOError if another has it."""
    with file_lock(path, blocking=False):
        yield


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file outside the spool alone among all processes, after waiting for who has it."""
    with file_lock(path, blocking=True):
        yield


def append_line(path: Path, line: str, rotate_at_bytes: int, moved_to: Path) -> None:
    """Append a line to a file outside the spool that only its owner can read; it is on the disk, or not in the file.

    A file of ``rotate_at_bytes`` is first moved to ``moved_to``. Raises OSError.
    """
    with file_lock(path.with_name(f".{path.name}.lock"), blocking=True):
        new = not path.exists()
        if not new and path.stat().st_size >= rotate_at_bytes and not moved_to.exists():
            path.rename(moved_to)
            new = True
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _append_whole(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)
        if new:
            fsync_folder(path.parent)


def _append_whole(descriptor: int, content: bytes) -> None:
    """All of it or, on a full disk, nothing."""
    end = os.fstat(descriptor).st_size
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        content = b"\n" + content  # a power failure has cut the line before
    try:
        written = os.write(descriptor, content)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise
