"""The file system of a folder: its type, and whether its ``syncfs`` is trusted.

``syncfs`` on a FUSE mount returns 0 and has no effect: FUSE has no message for it. On the types listed here the kernel
itself writes to the disk, and waits. Other types are not trusted, and each file is synced by itself.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SYNCED_WHOLE = {
    0xEF53: "ext2, ext3 or ext4",
    0x58465342: "XFS",
    0x9123683E: "Btrfs",
    0xF2F52010: "F2FS",
    0x2FC12FC1: "ZFS",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
}
_SYNCED_BY_FILE = {
    0x65735546: "FUSE",
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x517B: "SMB",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x794C7630: "overlay",
}
"""Named for messages; statfs(2) and linux/magic.h. An overlay hides the file system that it writes to."""
_SYNC_FILE_RANGE_WRITE = 2
"""sync_file_range(2): begin to write what is not being written, and do not wait."""
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True)
class FileSystem:
    """One file system. ``syncs_whole``: its ``syncfs`` waits until everything is on the disk."""

    name: str
    syncs_whole: bool

    @property
    def caution(self) -> str:
        """Warning for results that are stored on it; empty if there is none."""
        if self.name in _IN_MEMORY:
            return f"is in memory ({self.name}): a power failure or a restart of the machine loses all of it"
        if self.name == "overlay":
            return "is in a container's own layer (overlay): it is lost with the container; give it a volume"
        if not self.syncs_whole:
            return f"is on {self.name}, where each file is synced by itself: slower, and as durable as its server is"
        return ""


def file_system_of(folder: Path) -> FileSystem:
    """Return the file system of ``folder``. Raises OSError."""
    number = file_system_type(folder)
    if number in _SYNCED_WHOLE:
        return FileSystem(_SYNCED_WHOLE[number], syncs_whole=True)
    return FileSystem(_SYNCED_BY_FILE.get(number, f"a file system of type {number:#x}"), syncs_whole=False)


def file_system_type(folder: Path) -> int:
    """Return ``f_type`` of statfs(2), which Python's ``os.statvfs`` lacks. Raises OSError."""
    buffer = (ctypes.c_long * 64)()  # f_type is the first word of the structure, which is far smaller
    _checked(_c_library().statfs(os.fsencode(folder), buffer), folder)
    return int(buffer[0]) & 0xFFFFFFFF


def sync_file_system(folder: Path) -> None:
    """Wait until everything that was written to the file system of ``folder`` is on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _checked(_c_library().syncfs(descriptor), folder)
    finally:
        os.close(descriptor)


def begin_writing_out(descriptor: int, start: int, length: int) -> bool:
    """Let the kernel begin to write a range of a file to the disk, so that a later ``fsync`` waits for less.

    Nothing is durable by it, and a failed write is reported by ``fsync`` as ever. Return False where there is no such
    call, or it is refused.
    """
    try:
        sync_file_range = _c_library().sync_file_range
    except (OSError, AttributeError):
        return False
    arguments = ctypes.c_int(descriptor), ctypes.c_int64(start), ctypes.c_int64(length)
    return bool(sync_file_range(*arguments, ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)) == 0)


@cache
def _c_library() -> ctypes.CDLL:
    """Return the C library, loaded once: to load it anew for each object takes a twentieth of a small one's time."""
    return ctypes.CDLL(None, use_errno=True)


def _checked(status: int, folder: Path) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
