"""The manifest of a backup: a line of JSON for each file, and a last line with their number and SHA-256."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from triage.errors import TriageError, cause

FORMAT = 1


class BackupError(TriageError):
    """A backup could not be made or used; the message says what to do."""


@dataclass(frozen=True)
class ManifestEntry:
    """One file of a backup; ``sha256`` of its content, empty for a folder. See ``BackupItem``."""

    path: str
    name: str
    size: int
    mode: int
    modified_ns: int
    sha256: str

    @property
    def key(self) -> tuple[str, int, int]:
        """Identity, size and time of change: equal for an unchanged file."""
        return self.name, self.size, self.modified_ns


@dataclass(frozen=True)
class Manifest:
    """A whole backup. ``begun`` in POSIX seconds: later data may be missing. ``left_out``: unreadable files."""

    begun: float
    version: str
    entries: tuple[ManifestEntry, ...]
    left_out: tuple[str, ...] = ()
    engines: Mapping[str, Any] = field(default_factory=dict)
    """The state of PostgreSQL and the bucket, where they are the store; no backup of ours has what is in them."""

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of files of each kind: by the first two folders of their paths."""
        return counted(each.path for each in self.entries if each.sha256)

    def text(self) -> str:
        """Return the content of the manifest's file."""
        head = {"format": FORMAT, "begun": self.begun, "version": self.version, "left_out": self.left_out}
        head |= {"engines": self.engines} if self.engines else {}
        body = "\n".join(json.dumps(each) for each in (head, *map(asdict, self.entries)))
        end = {"entries": len(self.entries), "counts": self.counts, "sha256": sha256(body.encode()).hexdigest()}
        return f"{body}\n{json.dumps(end)}\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises BackupError for one that is cut, changed, or of a later release."""
    try:
        body, _, last = path.read_text().rstrip("\n").rpartition("\n")
        head, *entries = [json.loads(line) for line in body.split("\n")]
        end = json.loads(last)
        if head["format"] > FORMAT:
            raise BackupError(f"{path} has format {head['format']}: restore it with the release that made it")
        files = tuple(ManifestEntry(**each) for each in entries)
        manifest = Manifest(head["begun"], head["version"], files, tuple(head["left_out"]), head.get("engines") or {})
        whole = (sha256(body.encode()).hexdigest(), len(entries), manifest.counts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is no manifest of a backup ({cause(error)})") from error
    if whole != (end.get("sha256"), end.get("entries"), end.get("counts")):
        raise BackupError(f"{path} was changed or damaged: take another backup")
    return manifest


def counted(paths: Iterable[str]) -> dict[str, int]:
    """Return the number of paths of each kind, as a manifest has them."""
    return dict(sorted(Counter(map(_kind, paths)).items()))


def _kind(path: str) -> str:
    folders = path.split("/")
    return "/".join(folders[:2] if len(folders) > 2 else folders[:1])
