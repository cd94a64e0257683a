"""Durable files: fsync, rename and append."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from triage.runtime.file_lock import file_lock
from triage.runtime.file_lock import private_folder as private_folder
from triage.runtime.storage import file_system_of


def fsync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
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


def private_opener(path: str, flags: int) -> int:
    """Open a new file that only its owner can read; for ``open(..., opener=...)``."""
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


def write_durably(path: Path, text: str) -> None:
    """Replace a file outside the spool as a whole and wait until it is on the disk; only its owner can read it."""
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

    Not ``durable``: complete for its readers, and gone or cut after a power failure.
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
        temporary.unlink(missing_ok=True)  # on a full disk, every attempt would leave one
        raise


def rename_file(source: Path, target: Path, *, durable: bool = True) -> None:
    """Rename and, if ``durable``, wait until the new name is on the disk.

    A FUSE mount returns 0 for the fsync of a folder, whether or not it passes it on (bindfs 1.14 does not). The fsync
    of the file itself is passed on, and includes the new name on the file systems below that journal names with files
    (ext4, XFS, Btrfs). So where syncfs is not trusted, both are called.
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
    """Wait until the new name of a file or folder is on the disk; see ``rename_file``."""
    fsync_folder(path.parent)
    if not file_system_of(path.parent).syncs_whole:
        _fsync_itself(path)


def append_line(path: Path, line: str, rotate_at_bytes: int, moved_to: Path) -> None:
    """Append a line to a file outside the spool that only its owner can read: it is on the disk, or not in the file.

    A file of ``rotate_at_bytes`` is first moved to ``moved_to``. Raises OSError.
    """
    with file_lock(path.with_name(f".{path.name}.lock")):
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
    """Append all of ``content`` or, on a full disk, nothing."""
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
