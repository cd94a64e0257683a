"""The bucket in which the bytes of objects lie: put once under a key that is used once, read, deleted."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from typing import BinaryIO, Protocol

_ANSWERS = (errno.EACCES, errno.EAGAIN, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOENT, errno.ENOSPC)


@dataclass(frozen=True)
class ListedKey:
    """An object as the bucket lists it; ``put_at`` in POSIX seconds, by the bucket's clock."""

    key: str
    size: int
    put_at: float


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

    def read(self, key: str) -> bytes:
        """Return a whole object, by one request."""

    def size(self, key: str) -> int:
        """Return the number of bytes of an object."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    # For a comparison with the database, not for the service's work.

    def listed(self, prefix: str, after: str = "") -> Iterator[ListedKey]:
        """Yield the objects whose keys begin with ``prefix``, those behind ``after``, page by page, in their order."""

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the beginnings of keys below ``prefix`` up to the next slash, with it, in no particular order."""


def is_answer(error: OSError) -> bool:
    """Return whether a bucket that is there said this of one key; after any other error it says no better of the next.

    It did not answer, or cannot be used at all.
    """
    return error.errno in _ANSWERS


def read_checked(bucket: Bucket, key: str, size: int, sha256: bytes | None) -> bytes:
    """Return a whole object, which is the one that its row names: of this size, and of this SHA-256 if it is known.

    Raises OSError (EIO) for other bytes, whether the bucket keeps them or they changed on the way.
    """
    content = bucket.read(key)
    if len(content) != size or (sha256 is not None and sha256_of(content).digest() != sha256):
        raise OSError(
            errno.EIO,
            f"{bucket.name}/{key}: other bytes came than were acknowledged; they are not used. If it happens again, "
            "the bucket does not keep what it was given (triage store compare --read)",
        )
    return content
