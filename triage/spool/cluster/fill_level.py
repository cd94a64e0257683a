"""The fill level of a store in a database and a bucket: a quota of the site's, or none."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from math import inf

from triage.errors import cause
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.file_system_usage import FolderUsage, SpoolState, SpoolUsage

logger = logging.getLogger(__name__)

_FRESH_S = 60.0
"""Seconds for which a sum over all objects is good enough for a fill level."""
_KEPT_S = 3600.0
"""Seconds for which the last sum stands in for one that the database does not give."""
_AGAIN_S = 5.0
"""Seconds between two questions while there is no sum."""
_NO_LIMIT_BYTES = 1 << 50
"""Free bytes of a store without a quota: more than any high-water mark asks for. A full one says ENOSPC."""

_USED = """
SELECT CAST((SELECT coalesce(sum(size), 0) FROM object WHERE tenant = :tenant)
  + (SELECT coalesce(sum(size), 0) FROM entry WHERE tenant = :tenant AND key IS NOT NULL)
  + pg_database_size(current_database()) AS bigint)
"""
_UNFINISHED = """
SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint), CAST(extract(epoch FROM min(received)) AS float8) FROM object
WHERE tenant = :tenant AND partition = :partition AND state = :state
"""
_QUARANTINE = """
SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint), CAST(extract(epoch FROM min(written)) AS float8) FROM entry
WHERE tenant = :tenant AND partition = :partition AND study_uid IS NULL AND COALESCE(study_uid, '') = ''
AND place = 'quarantine' AND key IS NOT NULL
"""
_LATE_S = 3600.0
_UNDELETED = """
SELECT count(*) FROM bucket_key WHERE tenant = :tenant AND state = 'dead'
AND deadline < clock_timestamp() - make_interval(secs => CAST(:late_s AS float8))
"""


class FillLevel(Rows):
    """The sizes of one partition, and of all that its tenant has. ``clock`` in seconds."""

    def __init__(self, engines: Engines, scope: Scope, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(engines, scope)
        self._clock, self._lock = clock, threading.Lock()
        self._used, self._errno, self._why = 0, errno.EAGAIN, ""
        self._read_at = self._asked_at = -inf

    def usage(self) -> SpoolUsage:
        """Return the usage: of the quota, by the objects of the tenant and the database's own size. Raises OSError."""
        quota = self._engines.address.quota_bytes
        if not quota:
            return SpoolUsage(_NO_LIMIT_BYTES, _NO_LIMIT_BYTES, 0, 0)
        return SpoolUsage(quota, max(quota - self._used_bytes(), 0), 0, 0)

    def state(self) -> SpoolState:
        """Return the parts that should be small. Raises OSError."""
        inbox, dead = self._unfinished("waiting"), self._unfinished("dead")
        ((count, size, oldest),) = self._read(_QUARANTINE)
        ((undeleted,),) = self._database.read(_UNDELETED, tenant=self._scope.tenant, late_s=_LATE_S)
        return SpoolState(inbox, dead, _folder(count, size, oldest), self.usage(), int(str(undeleted)))

    def oldest_waiting(self) -> float | None:
        """Return when the oldest object in the inbox was received; None if none waits."""
        return self._unfinished("waiting").oldest

    def _unfinished(self, state: str) -> FolderUsage:
        ((count, size, oldest),) = self._read(_UNFINISHED, state=state)
        return _folder(count, size, oldest)

    def _used_bytes(self) -> int:
        """Return the last sum, made anew when it is old; others take the last one while that goes on. Raises OSError.

        A sum over very many objects may take longer than a statement may: no object is refused for that.
        """
        if not self._was_asked() and self._lock.acquire(blocking=not self._is_known()):
            try:
                self._sum_up()
            finally:
                self._lock.release()
        if not self._is_known():
            raise OSError(self._errno, f"the sizes of all objects are not known: {self._why}")
        return self._used

    def _sum_up(self) -> None:
        if self._was_asked():  # by the thread that was waited for
            return
        self._asked_at = self._clock()
        try:
            ((used,),) = self._database.read(_USED, tenant=self._scope.tenant)
        except OSError as error:
            self._errno, self._why = error.errno or errno.EIO, cause(error)
            logger.warning("the sizes of all objects cannot be summed up (%s): the last sum stands", self._why)
        else:
            self._used, self._read_at = int(str(used)), self._clock()

    def _was_asked(self) -> bool:
        """Return whether the database was asked lately: one that does not answer is not asked for each object."""
        return self._clock() - self._asked_at < (_FRESH_S if self._is_known() else _AGAIN_S)

    def _is_known(self) -> bool:
        return self._clock() - self._read_at < _KEPT_S


def _folder(count: object, size: object, oldest: object) -> FolderUsage:
    return FolderUsage(int(str(count)), int(str(size)), None if oldest is None else float(str(oldest)))
