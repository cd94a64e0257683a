"""A bucket of local files: every process of a test sees the same one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote
from uuid import uuid4

from triage.spool.cluster.bucket import ListedKey


@dataclass(frozen=True)
class FileBucket:
    """A ``Bucket`` whose keys are names in one folder."""

    folder: Path

    @property
    def name(self) -> str:
        return f"file bucket {self.folder.name}"

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        data = content.read()
        if len(data) != size or digest_of(data) != sha256:
            raise OSError(errno.EIO, "the bytes did not arrive as they were sent")
        part = self.folder / f".{uuid4().hex}"
        part.write_bytes(data)
        part.rename(self._path(key))

    def open(self, key: str) -> BinaryIO:
        return self._path(key).open("rb")

    def read(self, key: str) -> bytes:
        return self._path(key).read_bytes()

    def size(self, key: str) -> int:
        return self._path(key).stat().st_size

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def listed(self, prefix: str, after: str = "") -> Iterator[ListedKey]:
        paths = {unquote(path.name): path for path in self.folder.iterdir() if not path.name.startswith(".")}
        for key in sorted(paths):
            if key.startswith(prefix) and key > after:
                status = paths[key].stat()
                yield ListedKey(key, status.st_size, status.st_mtime)

    def folders(self, prefix: str) -> Iterator[str]:
        below = (key.removeprefix(prefix) for key in self.keys(prefix))
        yield from {f"{prefix}{key.partition('/')[0]}/" for key in below if "/" in key}

    def keys(self, prefix: str) -> Iterator[str]:
        return (each.key for each in self.listed(prefix))

    def _path(self, key: str) -> Path:
        return self.folder / quote(key, safe="")


def digest_of(data: bytes) -> bytes:
    return sha256(data).digest()
