"""Make a backup of storages that are in use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triage.backup.archive import Archive
from triage.backup.item import BackupItem, BackupSource, Known
from triage.backup.manifest import Manifest, ManifestEntry
from triage.errors import cause

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeBackup:
    """A whole backup: its name, its manifest, the numbers of new contents and of removed backups."""

    name: str
    manifest: Manifest
    copied: int
    removed: int


def make(
    sources: Sequence[BackupSource],
    archive: Archive,
    version: str,
    keep: int,
    now: Callable[[], float],
    engines: Mapping[str, Any] | None = None,
) -> MadeBackup:
    """Back up ``sources`` in their order, and remove all but the last ``keep`` backups (0: none).

    ``now`` returns POSIX seconds. ``engines``: the state of a store that has backups of its own, for the manifest.
    Raises BackupError.
    """
    with archive.writing():
        begun, last = now(), archive.last()
        before = {each.key: each for each in last.entries if archive.has(each.sha256)} if last else {}
        writing = _Writing(archive, before)
        for source in sources:
            for group in source.groups(writing.known):
                writing.take(group)
        entries, left_out = tuple(writing.entries.values()), tuple(writing.left_out)
        manifest = Manifest(begun, version, entries, left_out, engines or {})
        name = archive.finish(manifest)
        return MadeBackup(name, manifest, archive.copied, archive.prune(keep) if keep else 0)


class _Writing:
    """One backup as it grows: its entries by identity."""

    def __init__(self, archive: Archive, before: dict[tuple[str, int, int], ManifestEntry]) -> None:
        self._archive, self._before = archive, before
        self.entries: dict[str, ManifestEntry] = {}
        self.left_out: list[str] = []

    @property
    def known(self) -> Known:
        """Returns whether the last backup has a content."""
        return lambda name, size, modified_ns: (name, size, modified_ns) in self._before

    def take(self, group: Sequence[BackupItem]) -> None:
        """Store a group, or nothing of it if one of its files was removed meanwhile."""
        stored = []
        for item in group:
            try:
                stored.append(self._store(item))
            except FileNotFoundError:
                logger.info("%s was removed meanwhile", item.path)
                return
            except OSError as error:  # of the source: a block that cannot be read costs its own file
                self.left_out.append(f"{item.path}: {cause(error)}")
                logger.error("%s cannot be read and is not in the backup: %s", item.path, cause(error))
        self.entries.update((each.name, each) for each in stored)

    def _store(self, item: BackupItem) -> ManifestEntry:
        if item.path.endswith("/"):
            return ManifestEntry(item.path, item.name, 0, item.mode, item.modified_ns, "")
        if before := self._before.get((item.name, item.size, item.modified_ns)):
            return ManifestEntry(item.path, item.name, item.size, item.mode, item.modified_ns, before.sha256)
        with item.open() as content:
            return self._archive.add(item, content)
