"""The keys of the bucket that rows of one tenant name, in the order in which a bucket lists them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass

from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.bucket import Bucket
from triage.spool.cluster.rows import Engines, Rows, Scope
from triage.spool.cluster.upload_states import UNENDED
from triage.spool.tables import Row, Value

# One statement is one look: a key is in one of the three tables at each moment, and in none once it is deleted. That of
# an upload which is late, or which a restored database has in the midst of, counts as one without a row.
_NAMED = f"""
SELECT key, size, sha256, study_uid, sop_uid FROM (
  (SELECT key, size, sha256, study_uid, sop_uid FROM object
   WHERE key > :after AND key < :below ORDER BY key LIMIT CAST(:page AS int))
  UNION ALL
  (SELECT key COLLATE "C", size, sha256, COALESCE(study_uid, ''), name FROM entry
   WHERE key IS NOT NULL AND key COLLATE "C" > :after AND key COLLATE "C" < :below
   ORDER BY key COLLATE "C" LIMIT CAST(:page AS int))
  UNION ALL
  (SELECT key, CAST(NULL AS bigint), NULL, '', '' FROM bucket_key
   WHERE key > :after AND key < :below AND NOT {UNENDED} ORDER BY key LIMIT CAST(:page AS int))
) AS known ORDER BY key COLLATE "C" LIMIT CAST(:page AS int)
"""
_KNOWN = f"""
SELECT size, true FROM object WHERE key = :key
UNION ALL SELECT size, true FROM entry WHERE key IS NOT NULL AND key COLLATE "C" = :key
UNION ALL SELECT NULL, false FROM bucket_key WHERE key = :key AND NOT {UNENDED}
"""
_GIVE_UP = f"DELETE FROM bucket_key WHERE key = :key AND {UNENDED}"
# Each partition by one look into the index, and not by one for each of its rows.
_PARTITIONS = """
WITH RECURSIVE found AS (
  SELECT min(partition) AS partition FROM object WHERE tenant = :tenant
  UNION ALL
  SELECT (SELECT min(partition) FROM object WHERE tenant = :tenant AND partition > found.partition) FROM found
  WHERE found.partition IS NOT NULL
)
SELECT partition FROM found WHERE partition IS NOT NULL
UNION SELECT partition FROM entry WHERE tenant = :tenant AND key IS NOT NULL
UNION SELECT partition FROM bucket_key WHERE tenant = :tenant
"""
_HAS_CONTENT = """
SELECT 1 FROM object WHERE tenant = :tenant AND partition = :partition AND study_uid = :study AND sop_uid = :sop
AND digest = :digest
"""


@dataclass(frozen=True)
class NamedKey:
    """A key that a row names. ``kept``: its object is to be there; otherwise it is being put, or to be deleted."""

    key: str
    size: int
    kept: bool
    sha256: bytes | None = None
    study_instance_uid: str = ""
    name: str = ""


def key_rows(address: ClusterAddress, bucket: Bucket) -> KeyRows:
    """Return the keys of a store that was opened."""
    engines = Engines(address, bucket)
    made = KeyRows(engines, Scope(address.tenant))
    weakref.finalize(made, engines.pool.close)
    return made


class KeyRows(Rows):
    """The keys that rows of one tenant name, of all its partitions."""

    @property
    def tenant_folder(self) -> str:
        """The first word of every key of the tenant, with its slash."""
        return f"{self._scope.tenant}/"

    def folders(self) -> set[str]:
        """Return the first words of keys that rows name, for each partition, with a slash at the end."""
        rows = self._database.read(_PARTITIONS, tenant=self._scope.tenant)
        return {f"{Scope(self._scope.tenant, str(partition)).folder}/" for (partition,) in rows}

    def named(self, folder: str, after: str = "") -> Iterator[NamedKey]:
        """Yield the keys of a folder behind ``after``, in the order of their bytes, page by page."""
        below = f"{folder[:-1]}0"  # the character behind a slash

        def behind(row: Row) -> dict[str, Value]:
            return {"after": str(row[0])}

        for row in self._pages(_NAMED, behind, after=max(after, folder), below=below):
            key, size, sha256, study, name = row
            checksum = sha256 if isinstance(sha256, bytes) else None
            yield NamedKey(str(key), int(str(size or 0)), size is not None, checksum, str(study), str(name))

    def give_up(self, key: str) -> None:
        """End an upload that is late or of another timeline: no row can name its key any more."""
        self._database.write(_GIVE_UP, key=key)

    def known(self, key: str) -> NamedKey | None:
        """Return what names a key now; None if nothing does, and nothing ever will once it is given up."""
        for size, kept in self._database.read(_KNOWN, key=key):
            return NamedKey(key, int(str(size or 0)), bool(kept))
        return None

    def has_content(self, key: str, study_instance_uid: str, sop_instance_uid: str) -> bool:
        """Return whether the object under a key without a row has the content of one that the store keeps."""
        _, partition, digest, *_ = (*key.split("/"), "", "")
        words = {"study": study_instance_uid, "sop": sop_instance_uid, "digest": digest}
        of = "" if partition == "main" else partition.replace("+", "/")
        return bool(self._database.read(_HAS_CONTENT, tenant=self._scope.tenant, partition=of, **words))
