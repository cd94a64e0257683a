"""Restore a backup into an empty folder, checked content by content."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path, PurePosixPath

from triage.backup.archive import Archive, backup_errors
from triage.backup.item import Readable, RestoreTarget
from triage.backup.manifest import BackupError, Manifest, counted
from triage.errors import cause
from triage.runtime.durable import fsync_folder, private_folder, private_opener
from triage.runtime.storage import file_system_of, sync_file_system

_PART = ".restoring"
_LAST = "spool"  # moved last: a folder that has it is whole


class FolderTarget:
    """A folder that is empty or does not exist. Files are put into a part of it until all are there."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._part = self._root / _PART
        with backup_errors(self._root):
            private_folder(self._root)
            if any(self._root.iterdir()):
                raise BackupError(f"{self._root} is not empty: a backup is restored into an empty folder only")
            self._root.chmod(0o700)
            private_folder(self._part)

    def put(self, path: str, mode: int, modified_ns: int, content: Readable | None) -> None:
        """See ``RestoreTarget``."""
        file = self._part / _inside(path)
        with backup_errors(self._root):
            private_folder(file if content is None else file.parent)
            if content is not None:
                _write(file, content, sync=not file_system_of(self._root).syncs_whole)
            file.chmod(mode)
            os.utime(file, ns=(modified_ns, modified_ns))

    def finish(self) -> None:
        """See ``RestoreTarget``."""
        with backup_errors(self._root):
            if file_system_of(self._root).syncs_whole:
                sync_file_system(self._root)
            for entry in sorted(self._part.iterdir(), key=lambda each: (each.name == _LAST, each.name)):
                entry.rename(self._root / entry.name)
            self._part.rmdir()
            fsync_folder(self._root)


def restore(archive: Archive, name: str, target: RestoreTarget) -> Manifest:
    """Restore a backup, the last one if ``name`` is empty, and return its manifest.

    Raises BackupError; then ``target`` is of no use.
    """
    manifest, done = archive.manifest(name), []
    for entry in sorted(manifest.entries, key=lambda each: (not each.sha256, -each.path.count("/"))):
        if not entry.sha256:
            target.put(entry.path, entry.mode, entry.modified_ns, None)
            continue
        try:
            with archive.open(entry) as content:
                checked = _Checked(content)
                target.put(entry.path, entry.mode, entry.modified_ns, checked)
        except OSError as error:
            raise BackupError(f"{entry.path} cannot be read from {archive.root}: {cause(error)}") from error
        if checked.digest != entry.sha256:
            raise BackupError(f"{entry.path} is damaged in {archive.root}: restore an earlier backup (--at)")
        done.append(entry.path)
    if counted(done) != manifest.counts:
        raise BackupError(f"the counts of {archive.root} and of what was restored differ")
    target.finish()
    return manifest


class _Checked:
    """Content with its digest, known once it is read."""

    def __init__(self, content: Readable) -> None:
        self._content, self._digest = content, sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        chunk = self._content.read(size)
        self._digest.update(chunk)
        return chunk

    @property
    def digest(self) -> str:
        """SHA-256 of what was read."""
        return self._digest.hexdigest()


def _write(file: Path, content: Readable, *, sync: bool) -> None:
    with open(file, "xb", opener=private_opener) as written:
        while chunk := content.read(1 << 20):
            written.write(chunk)
        if sync:
            written.flush()
            os.fsync(written.fileno())


def _inside(path: str) -> PurePosixPath:
    """Return ``path`` if it stays below the folder. Raises BackupError."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise BackupError(f"{path[:200]!r} is no path of a backup: the manifest was not made by `triage backup`")
    return parts
