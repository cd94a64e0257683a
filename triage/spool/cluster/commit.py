"""The end of a transaction, and the doubt about it: a primary may wait for its standby for as long as that is gone."""

from __future__ import annotations

import errno
import logging

from triage.spool.cluster.connection import Connection
from triage.spool.cluster.pool import ConnectionPool

logger = logging.getLogger(__name__)

_STANDBY = (
    "the database's COMMIT waited for its synchronous standby for too long: what was written may be there and is on "
    "the primary alone; it counts as not written, and is written again"
)
_SLOW = "the database has not confirmed a COMMIT in time: what was written may be there, and is written again"


# A commit that has announced something waits behind another one that has (Lock/object), until that has its standby:
# then it is the standby that it waits for.
_WAITS = """
SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = CAST(:pid AS int) AND wait_event = 'SyncRep')
  OR EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = CAST(:pid AS int) AND wait_event_type = 'Lock')
  AND EXISTS (SELECT 1 FROM pg_stat_activity
    WHERE pid = ANY(pg_blocking_pids(CAST(:pid AS int))) AND wait_event = 'SyncRep')
"""


def commit(connection: Connection, pool: ConnectionPool, timeout_s: float) -> None:
    """Commit the transaction of a session. Raises OSError (ETIMEDOUT) if it is not confirmed within ``timeout_s``.

    A commit that waits for a synchronous standby has been done on the primary, where it cannot be undone. If the wait
    is cancelled, by us or by a person, the server ends it with a warning, and answers COMMIT as if all were well: so a
    warning counts as a failure. What was written may be there all the same: at least once.
    """
    connection.warned()
    try:
        connection.command("COMMIT", timeout_s)
    except TimeoutError as error:
        raise OSError(errno.ETIMEDOUT, _end_wait(connection.pid, pool), connection.database) from error
    if connection.warned():
        connection.broken = True
        raise OSError(errno.ETIMEDOUT, _STANDBY, connection.database)


def _end_wait(pid: object, pool: ConnectionPool) -> str:
    """End a session whose commit is late, and return why it is.

    Left alone, it would hold the locks of its rows for as long as the standby is away, also without us. If it does not
    wait for the standby yet, it will not when it comes to that.
    """
    try:
        asking = pool.borrow()
        try:
            found = asking.run(_WAITS, pid=str(pid))
            asking.run("SELECT pg_terminate_backend(CAST(:pid AS int))", pid=str(pid))
            return _STANDBY if found == [[True]] else _SLOW
        finally:
            pool.give_back(asking)
    except OSError as error:
        logger.warning("a late COMMIT of the database cannot be looked at: %s", error.strerror)
        return _SLOW
