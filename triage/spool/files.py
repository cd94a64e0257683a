"""The file operations of the spool: whole files, renamed and synced in the order that the file system needs."""

from __future__ import annotations

from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from triage.dicom.uid import valid_uid
from triage.runtime.durable import fsync_folder, private_folder, rename_file, replace_file, settle_name
from triage.runtime.storage import FileSystem, file_system_of, sync_file_system


class SpoolFiles:
    """The folders of one spool, and how files are written in them. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.studies = root / "studies"

    @cached_property
    def file_system(self) -> FileSystem:
        """The spool's file system, determined once: how writes are made durable depends on it (docs/adr/0001)."""
        return file_system_of(self.root)

    def sync(self) -> None:
        """Make everything written so far durable: once for a batch, before its objects leave the inbox.

        One syncfs instead of four fsyncs for each object, which is most of the cost of a tag on ordinary disks. Until
        then the inbox still has the objects, so that a power failure repeats their work and loses nothing. Where
        syncfs is not reliable (FUSE, NFS), there is nothing left to do: each file was synced as it was written.
        """
        if self.file_system.syncs_whole:
            sync_file_system(self.root)

    def new_part(self) -> Path:
        """Return a new path in incoming/, for an object that is being received; on the spool's own file system."""
        return self.incoming / f"{uuid4().hex}.part"

    def write(self, path: Path, content: str | bytes) -> None:
        """Replace the file at ``path`` durably and atomically: no reader sees a part of it. Raises OSError."""
        self._write(path, content)

    def write_soon(self, path: Path, content: str | bytes) -> None:
        """Replace a file as ``write`` does; after a power failure it may be as it was before, and is never cut."""
        durable = not self.file_system.syncs_whole
        replace_file(path, content, self.new_part(), partial(self._rename, durable=durable))

    def move(self, source: Path, target: Path, *, durable: bool = True) -> None:
        """Rename ``source``; not durably if it can be repeated. Raises FileNotFoundError if it is gone."""
        self._rename(source, target, durable=durable)
        if durable and source.parent != target.parent:
            fsync_folder(source.parent)

    def touch(self, path: Path) -> None:
        """Create an empty file unless it exists. Durable after ``sync``."""
        path.touch(0o600)
        if not self.file_system.syncs_whole:
            settle_name(path)

    def make_folder(self, folder: Path) -> None:
        """Create a folder in an existing one, durably, unless it exists."""
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(folder.parent)

    def study_folder(self, study_instance_uid: str) -> Path:
        """Return the study's folder, whether or not it exists. Raises InvalidUIDError."""
        uid = valid_uid(study_instance_uid)
        return self.studies / sha256(uid.encode()).hexdigest()[:2] / uid

    def _make_study_folder(self, study_instance_uid: str) -> Path:
        folder = self.study_folder(study_instance_uid)
        if not folder.exists():
            private_folder(folder)
        if not self.file_system.syncs_whole:  # also where the lock has created it
            for path in (folder, folder.parent):
                settle_name(path)
        return folder

    def _write(self, path: Path, content: str | bytes, *, durable: bool = True) -> None:
        durable = durable or not self.file_system.syncs_whole
        temporary = self.incoming / f"{uuid4().hex}.part"
        replace_file(path, content, temporary, partial(self._rename, durable=durable), durable=durable)

    def _rename(self, source: Path, target: Path, *, durable: bool = True) -> None:
        rename_file(source, target, durable=durable)
