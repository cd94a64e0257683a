"""Objects that are being received: a part on this machine, then a key of the bucket, then a row."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from triage.errors import cause
from triage.spool.cluster.bucket import is_answer
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.cluster.transactions import Transaction
from triage.spool.stored_object import Upload
from triage.spool.tables import Value

logger = logging.getLogger(__name__)

PART = ".part"

_BEGIN = """
INSERT INTO bucket_key (key, tenant, partition, state, deadline) VALUES (:key, :tenant, :partition, 'uploading',
  clock_timestamp() + make_interval(secs => CAST(:deadline_s AS float8)))
"""
_IN_TIME = "SELECT 1 FROM bucket_key WHERE key = :key AND state = 'uploading' FOR UPDATE"
_DONE = "DELETE FROM bucket_key WHERE key = :key"
_GIVE_UP = """
UPDATE bucket_key SET state = 'dead', deadline = clock_timestamp() + make_interval(secs => CAST(:deadline_s AS float8))
WHERE key = :key AND state = 'uploading'
"""


class ScratchUpload:
    """An object that is being received into a file of this machine; see ``Upload``. No power failure must spare it."""

    def __init__(self, scratch: Path) -> None:
        """Make the file. Raises OSError."""
        self.part = scratch / f"{uuid4().hex}{PART}"
        descriptor = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "w+b", buffering=0)
        self._digest = sha256()
        self.size = 0

    def write(self, data: memoryview) -> None:
        """Append bytes. Raises OSError."""
        self._file.seek(0, os.SEEK_END)
        self._digest.update(data)
        self.size += len(data)
        while data:
            data = data[self._file.write(data) :]

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Open what was written so far for reading, from its start. Raises OSError."""
        with open(self._file.fileno(), "rb", closefd=False) as file:
            file.seek(0)
            yield file

    @property
    def sha256(self) -> bytes:
        """The checksum of what was written."""
        return self._digest.digest()

    def discard(self) -> None:
        """Close the file and remove it."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


class BucketUploads(Rows):
    """The way of bytes into the bucket.

    The key is on a list before its first byte is sent, with a deadline; it leaves the list in the transaction that
    writes the row that it belongs to, if it is on it still. So no key is forgotten, and what the sweep has given up
    and deleted becomes no object, however late its bytes come. A key has a number of its own, and is used once.
    """

    def __init__(self, engines: Engines, scope: Scope) -> None:
        super().__init__(engines, scope)
        self._deadline_s = engines.address.upload_deadline_s

    @contextmanager
    def put(self, upload: ScratchUpload, words: str) -> Iterator[tuple[str, Transaction]]:
        """Put the bytes of an upload under a new key, and yield it in the transaction that writes its row.

        Raises OSError with no row: the key is deleted now, or by the sweep.
        """
        key = f"{self._scope.folder}/{words}/{uuid4().hex}"
        with self._database.apart():
            self._write(_BEGIN, key=key, deadline_s=self._deadline_s)
        try:
            with upload.reader() as content:
                self._engines.bucket.put(key, content, upload.size, upload.sha256)
        except BaseException as error:
            # A store that is silent would keep the sender waiting for as long again: its answer is not worth that.
            self.give_up(key, now=not isinstance(error, OSError) or is_answer(error))
            raise
        with self._database.apart() as transaction:
            if not transaction.run(_IN_TIME, key=key):
                self._delete(key)
                text = f"the upload took longer than its {self._deadline_s:g} s, and was given up"
                raise OSError(errno.ETIMEDOUT, text)
            yield key, transaction

    def give_up(self, key: str, *, now: bool = True) -> None:
        """Have a key deleted whose upload failed, ``now`` and by the sweep: bytes may be on the way. Never raises."""
        try:
            with self._database.apart():
                self._write_key(_GIVE_UP, key, deadline_s=self._deadline_s)
        except OSError as error:
            logger.warning("an upload that failed is left to its deadline: %s", cause(error))
        else:
            if now:
                self._delete(key)

    def done(self, key: str) -> None:
        """Take a key off the list, in the transaction that writes its row."""
        self._write_key(_DONE, key)

    def superfluous(self, key: str) -> None:
        """Have a key deleted whose content another upload has brought meanwhile, in the transaction of its row."""
        self._write_key(_GIVE_UP, key, deadline_s=0.0)

    def _write_key(self, sql: str, key: str, **values: Value) -> None:
        self._database.write(sql, key=key, **values)

    def _delete(self, key: str) -> None:
        try:
            self._engines.bucket.delete(key)
        except OSError as error:  # the sweep tries again
            logger.warning("an upload that was given up is left to the sweep: %s", cause(error))


def upload_of(upload: Upload) -> ScratchUpload:
    """Return the upload as one of ours. Raises TypeError for one that another kind of store began."""
    if not isinstance(upload, ScratchUpload):
        raise TypeError("an upload of another store")
    return upload
