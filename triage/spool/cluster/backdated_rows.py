"""The times of rows, set to those of the store that was moved into this one; see ``Backdating``."""

from __future__ import annotations

import weakref

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.bucket import Bucket
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.entries import Place
from triage.spool.instance import ReceivedInstance

_HERE = "tenant = :tenant AND partition = :partition"
_AT = "to_timestamp(CAST(:at AS float8))"
_INSTALL = """
INSERT INTO installation (tenant, partition, uid) VALUES (:tenant, :partition, :uid)
ON CONFLICT (tenant, partition) DO UPDATE SET uid = EXCLUDED.uid
"""
_RECEIVED = f"""
UPDATE object SET received = {_AT} WHERE {_HERE} AND study_uid = :study AND sop_uid = :sop AND digest = :digest
"""
_DECIDED = f"UPDATE study SET decided = {_AT} WHERE {_HERE} AND study_uid = :study AND decision IS NOT NULL"
_TOUCHED = f"UPDATE study SET touched = {_AT} WHERE {_HERE} AND study_uid = :study"
_WRITTEN = f"""
UPDATE entry SET written = {_AT} WHERE {_HERE} AND study_uid IS NULL AND place = :place AND name = :name
"""


def backdated_rows(address: ClusterAddress, bucket: Bucket) -> BackdatedRows:
    """Return the times of the rows of a store that was opened."""
    engines = Engines(address, bucket)
    made = BackdatedRows(engines, Scope(address.tenant))
    weakref.finalize(made, engines.pool.close)
    return made


class BackdatedRows(Rows):
    """The times of the rows of one store."""

    def installed(self, uid: str) -> None:
        """Make ``uid`` that of the installation."""
        self._write(_INSTALL, uid=uid)

    def received(self, instance: ReceivedInstance, at: float) -> None:
        """Set when an object was received."""
        names = {"sop": instance.sop_instance_uid, "digest": instance.content_digest}
        self._write(_RECEIVED, at=at, study=instance.study_instance_uid, **names)

    def decided(self, study_instance_uid: str, decided_at: float | None, touched: float) -> None:
        """Set when a study was decided, if it was, and last changed."""
        if decided_at is not None:
            self._write(_DECIDED, at=decided_at, study=study_instance_uid)
        self._write(_TOUCHED, at=touched, study=study_instance_uid)

    def written(self, place: Place, name: str, at: float) -> None:
        """Set when an entry of the site was written."""
        self._write(_WRITTEN, at=at, place="/".join(place.words), name=name)
