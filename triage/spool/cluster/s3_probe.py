"""A trial of a bucket: does the store do what the service relies on."""

from __future__ import annotations

import errno
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from uuid import uuid4

from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_bucket import CHECKSUM, S3Bucket
from triage.spool.cluster.s3_client import Body, S3Client
from triage.spool.cluster.s3_signature import S3Request

PROBES = "probe/"
"""The prefix of the keys of trials, each of which removes its own."""
_CONTENT = bytes(range(256)) * 4


def try_bucket(address: BucketAddress) -> Iterator[str]:
    """Write, read, list and delete an object of our own, and yield what the store does otherwise than it should.

    Raises OSError for what cannot be done at all; the message says what to do.
    """
    bucket, key = S3Bucket(address), f"{PROBES}{uuid4().hex}"
    bucket.put(key, BytesIO(_CONTENT), len(_CONTENT), sha256(_CONTENT).digest())
    try:
        yield from _read_faults(bucket, key)
    finally:
        bucket.delete(key)
    if key in bucket.keys(key):
        yield "it still lists an object that it has deleted: the space of removed studies is not freed at once"
    if takes_wrong_checksum(address):
        yield (
            "it keeps an object that comes with a wrong SHA-256, so it does not verify them: each object is compared "
            "by its MD5 (ETag) instead, or read back"
        )


def takes_wrong_checksum(address: BucketAddress) -> bool:
    """Return whether the store takes an object with a SHA-256 that is not that of its bytes. Raises OSError."""
    client, key = S3Client(address), f"{PROBES}{uuid4().hex}"
    wrong = b64encode(sha256(b"other bytes").digest()).decode()
    request = S3Request("PUT", client.path(key), headers={CHECKSUM: wrong}, payload=sha256(_CONTENT).hexdigest())
    try:
        client.ask(request, (200,), Body(lambda: (_CONTENT,), len(_CONTENT)))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    S3Bucket(address).delete(key)
    return True


def _read_faults(bucket: S3Bucket, key: str) -> Iterator[str]:
    with bucket.open(key) as file:
        file.seek(100)
        if file.read(50) != _CONTENT[100:150] or bucket.read(key) != _CONTENT:
            yield "it answers with other bytes than it was sent"
    if bucket.size(key) != len(_CONTENT):
        yield "it does not answer requests for a range of an object"
    if list(bucket.keys(key)) != [key]:
        yield "it does not list an object that it has just taken"
