"""A folder of backups: each content once, under its SHA-256, and a manifest for each backup.

    FORMAT                      "1"
    contents/<hh>/<sha256>      the contents that the manifests name
    manifests/<time>.jsonl      one for each whole backup; written last, so that a killed one has none

Only its owner can read any of it. A content is only ever replaced by itself, so that a killed backup damages none of
the earlier ones.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from triage.backup.item import BackupItem
from triage.backup.manifest import FORMAT, BackupError, Manifest, ManifestEntry, read_manifest
from triage.errors import cause
from triage.runtime.durable import (
    fsync_folder,
    private_folder,
    rename_file,
    write_durably,
)
from triage.runtime.file_lock import single_instance
from triage.runtime.storage import file_system_of, sync_file_system

_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Archive:
    """The backups in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._contents, self._manifests = self.root / "contents", self.root / "manifests"
        self._complete: set[str] = set()
        self._syncs_whole = False
        self.copied = 0

    # Reading.

    def names(self) -> list[str]:
        """Return the names of the backups, oldest first. Raises BackupError if this is no folder of backups."""
        if not (self.root / "FORMAT").is_file():
            raise BackupError(f"{self.root} holds no backups of `triage backup`")
        return sorted(path.stem for path in self._manifests.glob("*.jsonl"))

    def manifest(self, name: str = "") -> Manifest:
        """Return the manifest of a backup, by default of the last. Raises BackupError."""
        names = self.names()
        if not names or (name and name not in names):
            raise BackupError(f"{self.root} has no whole backup{f' {name}' if name else ''}: {', '.join(names)}")
        return read_manifest(self._manifests / f"{name or names[-1]}.jsonl")

    def open(self, entry: ManifestEntry) -> BinaryIO:
        """Open the content of an entry. Raises OSError."""
        return self._content(entry.sha256).open("rb")

    def faults(self, name: str = "") -> Iterator[str]:
        """Yield each fault of a backup in words: missing or damaged contents. Reads all of it."""
        by_digest = {each.sha256: each for each in self.manifest(name).entries if each.sha256}
        for digest, entry in by_digest.items():
            try:
                with self.open(entry) as content:
                    found, size = _digest_of(content)
            except OSError as error:
                yield f"{entry.path} cannot be read: {cause(error)}"
                continue
            if (found, size) != (digest, entry.size):
                yield f"{entry.path} is damaged"

    # Writing.

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder for writing; make it if it does not exist. Raises BackupError."""
        with backup_errors(self.root):
            self._prepare()
        refusal = BackupError(f"another backup is being written to {self.root}")
        with single_instance(self.root / ".lock", refusal):
            for left in self._contents.glob("*.part"):
                left.unlink()
            self._syncs_whole = file_system_of(self.root).syncs_whole
            yield

    def last(self) -> Manifest | None:
        """Return the last whole backup that can be read, else None; its contents need not be copied again."""
        for name in reversed(self.names()):
            try:
                manifest = read_manifest(self._manifests / f"{name}.jsonl")
            except BackupError:
                continue
            self._complete = {each.sha256 for each in manifest.entries if self._content(each.sha256).exists()}
            return manifest
        return None

    def has(self, digest: str) -> bool:
        """Return whether a whole backup has this content."""
        return digest in self._complete

    def add(self, item: BackupItem, content: BinaryIO) -> ManifestEntry:
        """Store a content. Raises BackupError if it cannot be written, OSError if it cannot be read."""
        part = self._contents / f"{uuid4().hex}.part"
        try:
            digest = self._write(part, item, content)
            self._store(part, digest)
        finally:
            part.unlink(missing_ok=True)
        return ManifestEntry(item.path, item.name, item.size, item.mode, item.modified_ns, digest)

    def _write(self, part: Path, item: BackupItem, content: BinaryIO) -> str:
        digest, left = sha256(), item.size
        with self._part(part) as write:
            while left and (chunk := content.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
                write(chunk)
        if left:
            raise FileNotFoundError(item.path)  # it became shorter: it is another file by now
        return digest.hexdigest()

    @contextmanager
    def _part(self, part: Path) -> Iterator[Callable[[bytes], None]]:
        """Open a new file and close it durably; an OSError of this file, and no other, becomes a BackupError."""
        with backup_errors(self.root):
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

        def write(chunk: bytes) -> None:
            with backup_errors(self.root):
                while chunk:
                    chunk = chunk[os.write(descriptor, chunk) :]

        try:
            yield write
            with backup_errors(self.root):
                if not self._syncs_whole:
                    os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _store(self, part: Path, digest: str) -> None:
        if digest in self._complete:
            return
        # A content that no whole backup names may have been cut by a power failure: it is written anew.
        path = self._content(digest)
        with backup_errors(self.root):
            private_folder(path.parent)
            rename_file(part, path, durable=not self._syncs_whole)
            self.copied += 1
        self._complete.add(digest)

    def finish(self, manifest: Manifest) -> str:
        """Make the contents durable, write the manifest, and return the backup's name. Raises BackupError."""
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(manifest.begun)) + f"-{uuid4().hex[:6]}"
        with backup_errors(self.root):
            if self._syncs_whole:
                sync_file_system(self.root)
            write_durably(self._manifests / f"{name}.jsonl", manifest.text())
        return name

    def prune(self, keep: int) -> int:
        """Remove all but the last ``keep`` backups, with contents of no other, and return their number."""
        old = self.names()[:-keep]
        for name in old:
            (self._manifests / f"{name}.jsonl").unlink()
        fsync_folder(self._manifests)  # before their contents: a manifest never names a missing content
        named = {each.sha256 for name in self.names() for each in self.manifest(name).entries}
        for path in self._contents.glob("*/*"):
            if path.name not in named:
                path.unlink()
        return len(old)

    def _prepare(self) -> None:
        private_folder(self.root)
        mark = self.root / "FORMAT"
        if not mark.exists():
            if any(each.name not in ("contents", "manifests") for each in self.root.iterdir() if each.name[0] != "."):
                raise BackupError(f"{self.root} is neither empty nor a folder of backups: choose another")
            for folder in (self._contents, self._manifests):
                private_folder(folder)
            write_durably(mark, f"{FORMAT}\n")
        if mark.read_text().strip() != str(FORMAT):
            raise BackupError(f"{self.root} was written by a later release: use that, or another folder")

    def _content(self, digest: str) -> Path:
        return self._contents / digest[:2] / digest


@contextmanager
def backup_errors(root: Path) -> Iterator[None]:
    """Turn an OSError of the disk under ``root`` into a BackupError."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in _FULL else cause(error)
        raise BackupError(f"{root} cannot be written: {why}; earlier backups in it are as they were") from error


def _digest_of(content: BinaryIO) -> tuple[str, int]:
    digest, size = sha256(), 0
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
