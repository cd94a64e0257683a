"""The state of the database of a store: which one it is, of what time, and how much is in it."""

from __future__ import annotations

import errno
import weakref
from dataclasses import dataclass

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.tables import Row

_SYSTEM = """
SELECT CAST(system_identifier AS text), (SELECT timeline_id FROM pg_control_checkpoint()) FROM pg_control_system()
"""
_MOMENT = """
SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8), CAST(CASE WHEN pg_is_in_recovery()
  THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS text), (SELECT version_num FROM triage_schema)
"""
_COUNTS = """
SELECT (SELECT count(*) FROM study WHERE tenant = :tenant), (SELECT count(*) FROM object WHERE tenant = :tenant),
  CAST(extract(epoch FROM GREATEST(
    (SELECT max(received) FROM object WHERE tenant = :tenant), (SELECT max(touched) FROM study WHERE tenant = :tenant)
  )) AS float8),
  (SELECT uid FROM installation WHERE tenant = :tenant AND partition = '')
"""


@dataclass(frozen=True)
class DatabaseState:
    """A database at a moment; times in POSIX seconds. ``newest``: of the newest row, 0 without one.

    ``system_identifier`` stays in a physical copy and in one that was restored to a time; a failover and a restore
    begin a new ``timeline``. Both are empty where the role may not read them.
    """

    tenant: str
    installation: str
    schema: str
    system_identifier: str
    timeline: str
    lsn: str
    at: float
    newest: float
    studies: int
    objects: int


class EngineRows(Rows):
    """The numbers of what one tenant has in the database."""

    @classmethod
    def of(cls, address: ClusterAddress) -> EngineRows:
        """Return that of the store at an address."""
        engines = Engines(address, S3Bucket(address.bucket))
        made = cls(engines, Scope(address.tenant))
        weakref.finalize(made, engines.pool.close)
        return made

    def state(self) -> DatabaseState:
        """Return the state of the database now. Reads an index of all objects. Raises OSError."""
        ((at, lsn, schema),) = self._database.read(_MOMENT)
        ((studies, objects, newest, uid),) = self._database.read(_COUNTS, tenant=self._scope.tenant)
        identifier, timeline = self._system()
        return DatabaseState(
            tenant=self._scope.tenant,
            installation=str(uid or ""),
            schema=str(schema),
            system_identifier=str(identifier),
            timeline=str(timeline),
            lsn=str(lsn),
            at=float(str(at)),
            newest=float(str(newest or 0)),
            studies=int(str(studies)),
            objects=int(str(objects)),
        )

    def _system(self) -> Row:
        try:
            return self._database.read(_SYSTEM)[0]
        except OSError as error:
            if error.errno != errno.EACCES:  # a role that may not ask
                raise
            return ["", ""]
