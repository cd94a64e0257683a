"""The bucket in which the bytes of objects lie: put once under a key that is used once, read, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol


class Bucket(Protocol):
    """A bucket. Safe to share between threads and to send to a child process, which connects by itself.

    Every method raises OSError with the system's numbers: ``FileNotFoundError`` for a key that is not there, ``ENOSPC``
    for a full store, ``EIO`` for bytes that did not arrive as they were sent, ``EAGAIN`` and ``ETIMEDOUT`` for a store
    that refuses or does not answer.
    """

    @property
    def name(self) -> str:
        """Its name for people, without a secret."""

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        """Write ``size`` bytes of ``content`` under ``key``, and return when the store has confirmed their checksum.

        The checksum is sent with the bytes for the store to verify. Raises OSError (EIO) for any doubt.
        """

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading, with seeks by ranges."""

    def size(self, key: str) -> int:
        """Return the number of bytes of an object."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``: for a comparison with the database, not for the service's work."""
