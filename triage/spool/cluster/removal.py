"""The keys of the bucket that no row has any more, and parts that a dead process left on this machine."""

from __future__ import annotations

import logging
from contextlib import suppress

from triage.errors import cause
from triage.spool.cluster.rows import PAGE, Rows
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
_PRUNE = """
DELETE FROM study_change WHERE tenant = :tenant
AND at < clock_timestamp() - make_interval(secs => CAST(:kept_s AS float8))
"""


class Removal(Rows):
    """The sweep of one tenant, of all its partitions. Several processes may sweep at a time."""

    def remove_old_parts(self, before: float) -> None:
        """Remove parts of this machine last written before ``before``, and the keys of uploads past their deadline.

        An upload is given up in a transaction first, and only then is its key deleted: whichever comes first, the
        upload or the sweep, the other one sees it.
        """
        self._remove_files(before)
        tenant = self._scope.tenant
        self._leave_others(tenant)
        self._database.write(_EXPIRE, tenant=tenant, deadline_s=self._engines.address.upload_deadline_s)
        self._database.write(_PRUNE, tenant=tenant, kept_s=KEPT_S)
        self._delete_dead()

    def _leave_others(self, tenant: str) -> None:
        for (key,) in self._database.write(_LEAVE, tenant=tenant):
            logger.warning(
                "the upload of %s began before the database was restored, or another server took over: what is under "
                "this key stays without a row, and may be the only copy of an object that was acknowledged. Have "
                "`triage store compare` tell of it, and its study sent again",
                key,
            )

    def _delete_dead(self) -> None:
        after, tenant = "", self._scope.tenant
        while True:
            ((now,),) = self._database.read(_NOW)
            keys = [str(key) for (key,) in self._database.read(_DEAD, tenant=tenant, after=after, page=PAGE)]
            if not keys:
                return
            deleted = [key for key in keys if self._deleted(key)]
            if deleted:
                self._database.write(_GONE, keys=deleted, now=str(now))
            after = keys[-1]

    def _deleted(self, key: str) -> bool:
        try:
            self._engines.bucket.delete(key)
        except OSError as error:  # the next sweep tries again, and the others must still be removed
            logger.error("an object that is not kept any more cannot be deleted from the bucket: %s", cause(error))
            return False
        return True

    def _remove_files(self, before: float) -> None:
        for part in self._engines.scratch.glob(f"*{PART}"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < before:
                    part.unlink()
