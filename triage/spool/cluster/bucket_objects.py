"""A received object whose bytes are in a bucket."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from triage.spool.cluster.bucket import Bucket, read_checked
from triage.spool.cluster.missing import missing


@dataclass(frozen=True)
class BucketObject:
    """A received object under a key of a bucket; see ``StoredObject``. The bytes of a key never change.

    An empty key: the store did not have the object when it was asked. A child process needs no database for it.
    ``sha256``: of the bytes that were acknowledged; None in a row of a program that did not note it.
    """

    name: str
    key: str
    bucket: Bucket = field(compare=False, repr=False)
    size_bytes: int = field(default=0, compare=False)
    received: float = field(default=0.0, compare=False)
    sha256: bytes | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.bucket.name}/{self.key}" if self.key else self.name

    def open(self, mode: Literal["rb"] = "rb", /) -> BinaryIO:
        """Open it for reading. Raises FileNotFoundError if it was removed meanwhile, OSError."""
        self._check()
        return self.bucket.open(self.key)

    def read_bytes(self) -> bytes:
        """Return all of it, by one request. Raises as ``open``; OSError (EIO) unless they are the bytes of the row."""
        self._check()
        return read_checked(self.bucket, self.key, self.size_bytes, self.sha256)

    def size(self) -> int:
        """Return the number of bytes. Raises FileNotFoundError if the store did not have it."""
        self._check()
        return self.size_bytes

    def received_at(self) -> float:
        """Return when it was received, by the database's clock. Raises as ``size``."""
        self._check()
        return self.received

    def received_by_store(self) -> float | None:
        """Return ``received_at``: the receiving hosts have clocks of their own. None if the store did not have it."""
        return self.received if self.key else None

    def is_in_bucket(self) -> bool:
        """Return whether the bucket has an object of this size under its key. Raises OSError if it does not say."""
        try:
            return self.bucket.size(self.key) == self.size_bytes
        except FileNotFoundError:
            return False

    def lasting_path(self) -> str:
        """Raise OSError: no file of this machine holds the bytes for as long as the study is kept."""
        raise OSError(errno.ENOTSUP, "the store keeps its objects in a bucket, not in files of this machine")

    def _check(self) -> None:
        if not self.key:
            raise missing("the store does not have this object")
