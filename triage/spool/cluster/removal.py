"""The keys of the bucket that no row has any more, and parts that a dead process left on this machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from triage.errors import cause
from triage.spool.cluster.bucket import is_answer
from triage.spool.cluster.rows import PAGE, Engines, Rows, Scope
from triage.spool.cluster.study_groups import KEPT_S
from triage.spool.cluster.upload_states import OTHER_TIMELINE
from triage.spool.cluster.uploads import PART

logger = logging.getLogger(__name__)

# The end of such an upload may have been acknowledged behind the time to which the database went back: its bytes stay,
# without a row, and `triage store compare` tells of them.
_LEAVE = f"""
DELETE FROM bucket_key WHERE tenant = :tenant AND state = 'uploading' AND deadline < clock_timestamp()
AND {OTHER_TIMELINE} RETURNING key
"""
# A dead key is deleted at once and again when its deadline has passed: bytes that were on the way come after the first.
_EXPIRE = f"""
UPDATE bucket_key SET state = 'dead', deadline = clock_timestamp() + make_interval(secs => CAST(:deadline_s AS float8))
WHERE tenant = :tenant AND state = 'uploading' AND deadline < clock_timestamp() AND NOT {OTHER_TIMELINE}
"""
_DEAD = """
SELECT key FROM bucket_key WHERE tenant = :tenant AND state = 'dead' AND key > :after ORDER BY key
LIMIT CAST(:page AS int)
"""
_GONE = """
DELETE FROM bucket_key WHERE key = ANY(CAST(:keys AS text[])) AND state = 'dead'
AND deadline < CAST(:now AS timestamptz)
"""
_NOW = "SELECT CAST(clock_timestamp() AS text)"
_LONGEST_S = 15.0
"""Seconds that one sweep takes for keys, which a process that is to end waits for: the others are for the next."""
_PRUNE = """
DELETE FROM study_change WHERE tenant = :tenant
AND at < clock_timestamp() - make_interval(secs => CAST(:kept_s AS float8))
"""


class Removal(Rows):
    """The sweep of one tenant, of all its partitions. Several processes may sweep at a time. ``clock`` in seconds."""

    def __init__(self, engines: Engines, scope: Scope, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(engines, scope)
        self._clock = clock

    def remove_old_parts(self, before: float) -> None:
        """Remove parts of this machine last written before ``before``, and the keys of uploads past their deadline.

        An upload is given up in a transaction first, and only then is its key deleted: whichever comes first, the
        upload or the sweep, the other one sees it.
        """
        self.remove_files(before)
        tenant = self._scope.tenant
        self._leave_others(tenant)
        self._database.write(_EXPIRE, tenant=tenant, deadline_s=self._engines.address.upload_deadline_s)
        self._database.write(_PRUNE, tenant=tenant, kept_s=KEPT_S)
        self.remove_dead_keys()

    def _leave_others(self, tenant: str) -> None:
        for (key,) in self._database.write(_LEAVE, tenant=tenant):
            logger.warning(
                "the upload of %s began before the database was restored, or another server took over: what is under "
                "this key stays without a row, and may be the only copy of an object that was acknowledged. Have "
                "`triage store compare` tell of it, and its study sent again",
                key,
            )

    def remove_dead_keys(self) -> None:
        """Delete dead keys until the bucket does not answer, or the time is over: the next sweep goes on."""
        after, tenant, end = "", self._scope.tenant, self._clock() + _LONGEST_S
        while self._clock() < end:
            ((now,),) = self._database.read(_NOW)
            keys = [str(key) for (key,) in self._database.read(_DEAD, tenant=tenant, after=after, page=PAGE)]
            if not keys:
                return
            deleted = list(self._deleted(keys, end))
            if gone := [key for key, is_gone in deleted if is_gone]:
                self._database.write(_GONE, keys=gone, now=str(now))
            if len(deleted) < len(keys):
                return
            after = keys[-1]

    def _deleted(self, keys: list[str], end: float) -> Iterator[tuple[str, bool]]:
        """Yield each key and whether it is deleted; not all of them if the bucket does not answer."""
        for key in keys:
            if self._clock() >= end:
                return
            try:
                self._engines.bucket.delete(key)
            except OSError as error:  # the next sweep tries again, and the others must still be removed
                logger.error("an object that is not kept any more cannot be deleted from the bucket: %s", cause(error))
                if not is_answer(error):
                    return
                yield key, False
            else:
                yield key, True

    def remove_files(self, before: float) -> None:
        """Remove parts of this machine last written before ``before``."""
        for part in self._engines.scratch.glob(f"*{PART}"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < before:
                    part.unlink()
