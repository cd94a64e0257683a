"""A bucket of an S3-compatible store; see ``Bucket``. An object is confirmed by a checksum that the store computed."""

from __future__ import annotations

import errno
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5, sha256
from typing import BinaryIO, cast

from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.bucket import ListedKey
from triage.spool.cluster.s3_client import PAUSES_S, Body, S3Client
from triage.spool.cluster.s3_faults import S3Answer
from triage.spool.cluster.s3_listing import folders, listed
from triage.spool.cluster.s3_reader import RangedReader
from triage.spool.cluster.s3_signature import S3Request

_BLOCK = 1 << 18  # bytes
CHECKSUM = "x-amz-checksum-sha256"
"""The header that holds an object's SHA-256 in base64, sent with it and stated of it."""
_ENCRYPTED = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm")
_PART = 1 << 20  # bytes; an object is read back in parts of so many
_WHOLE = 1 << 26  # bytes; time is given for so many where the size is not known


class S3Bucket:
    """A bucket. It sends requests to its endpoint alone, and follows no redirect."""

    def __init__(self, address: BucketAddress, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        """Prepare: nothing is sent yet. Raises OSError for a CA file that cannot be read."""
        self._address, self._pauses_s = address, pauses_s
        self._client = S3Client(address, pauses_s)

    def __reduce__(self) -> tuple[type[S3Bucket], tuple[BucketAddress, tuple[float, ...]]]:
        return S3Bucket, (self._address, self._pauses_s)

    @property
    def name(self) -> str:
        """The endpoint's host and the bucket."""
        return self._client.name

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        """Write ``size`` bytes under ``key``, and return when their arrival is confirmed.

        The SHA-256 goes with them twice: as the digest of the payload, which the signature covers, and as the checksum
        to keep. Raises OSError (EIO) for any doubt.
        """
        sent = _Sent(content, size)
        request = S3Request(
            "PUT",
            self._client.path(key),
            headers={CHECKSUM: b64encode(sha256).decode(), "Content-Type": "application/dicom"},
            payload=sha256.hex(),
        )
        answer = self._client.ask(request, (200,), Body(sent.blocks, size))
        confirmed = _is_confirmed(answer, sent.md5(), sha256)
        if confirmed is None:
            confirmed = self._read_back(key, size) == sha256
        if not confirmed:
            raise OSError(errno.EIO, f"PUT {self.name}/{key}: the store keeps other bytes than were sent")

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading, with seeks by ranges. One request is made at once. Raises FileNotFoundError."""
        return cast(BinaryIO, RangedReader(lambda at, count: self._range(key, at, count)))

    def read(self, key: str) -> bytes:
        """Return a whole object, by one request; checked where the store states its SHA-256. Raises as ``open``."""
        request = S3Request("GET", self._client.path(key), headers={"x-amz-checksum-mode": "ENABLED"})
        answer = self._client.ask(request, (200,), moved=_WHOLE)
        stated = answer.headers.get(CHECKSUM, "")
        if stated and "-" not in stated and stated != b64encode(sha256(answer.body).digest()).decode():
            raise OSError(errno.EIO, f"GET {self.name}/{key}: other bytes arrived than the store says it keeps")
        return answer.body

    def size(self, key: str) -> int:
        """Return the number of bytes of an object. Raises FileNotFoundError."""
        return self._range(key, 0, 1)[1]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        try:
            self._client.ask(S3Request("DELETE", self._client.path(key)), (200, 204))
        except FileNotFoundError:
            return

    def listed(self, prefix: str, after: str = "") -> Iterator[ListedKey]:
        """Yield the objects whose keys begin with ``prefix``, those behind ``after``, page by page."""
        return listed(self._client, prefix, after)

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the beginnings of keys below ``prefix`` up to the next slash, with it."""
        return folders(self._client, prefix)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``, page by page."""
        return (each.key for each in self.listed(prefix))

    def _range(self, key: str, at: int, count: int) -> tuple[bytes, int]:
        """Return bytes of an object from a position on, and the size of it."""
        request = S3Request("GET", self._client.path(key), headers={"Range": f"bytes={at}-{at + count - 1}"})
        answer = self._client.ask(request, (200, 206, 416), moved=count)
        if answer.status == 200:  # a store that knows no ranges, or that sends an empty object
            return answer.body[at : at + count], len(answer.body)
        total = answer.headers.get("content-range", "").rpartition("/")[2]
        if answer.status == 416:
            return b"", int(total) if total.isdigit() else 0
        if not total.isdigit() or len(answer.body) != min(count, int(total) - at):
            raise OSError(errno.EIO, f"GET {self.name}/{key}: another range came than was asked for")
        return answer.body, int(total)

    def _read_back(self, key: str, size: int) -> bytes:
        """Return the SHA-256 of what the store keeps."""
        digest = sha256()
        for at in range(0, size, _PART):
            digest.update(self._range(key, at, _PART)[0])
        return digest.digest()


class _Sent:
    """The bytes of a PUT, from where the content stands; read again for each try."""

    def __init__(self, content: BinaryIO, size: int) -> None:
        self._content, self._size, self._start = content, size, content.tell()
        self._md5 = md5(usedforsecurity=False)

    def blocks(self) -> Iterator[bytes]:
        """Yield them in blocks. Raises OSError (EIO) if the content has fewer."""
        self._content.seek(self._start)
        self._md5, left = md5(usedforsecurity=False), self._size
        while left:
            if not (block := self._content.read(min(_BLOCK, left))):
                raise OSError(errno.EIO, f"the content ends {left} bytes before its size")
            self._md5.update(block)
            left -= len(block)
            yield block

    def md5(self) -> str:
        """Return the MD5 of what was sent last, in hex."""
        return self._md5.hexdigest()


def _is_confirmed(answer: S3Answer, md5_sent: str, sha256_sent: bytes) -> bool | None:
    """Return whether the answer to a PUT confirms what was sent; None if it does not say.

    An ETag is the MD5 that the store computed, unless it encrypts. A checksum may be no more than an echo: it counts
    where there is no ETag of this kind.
    """
    stated = answer.headers.get(CHECKSUM, "")
    if stated and stated != b64encode(sha256_sent).decode():
        return False
    etag = answer.headers.get("etag", "").strip('"').lower()
    if len(etag) == 32 and not any(name in answer.headers for name in _ENCRYPTED):
        return etag == md5_sent
    return True if stated else None
