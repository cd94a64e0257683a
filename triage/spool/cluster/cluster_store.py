"""The store in PostgreSQL and a bucket: every fact is a row, every object's bytes are under a key (docs/adr/0072)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from triage.errors import cause
from triage.spool.cluster.entry_rows import EntryRows
from triage.spool.cluster.fill_level import FillLevel
from triage.spool.cluster.list_tables import ListTables
from triage.spool.cluster.live_workers import LeasedWorkers
from triage.spool.cluster.object_rows import ObjectRows
from triage.spool.cluster.removal import Removal
from triage.spool.cluster.rows import Engines, Scope
from triage.spool.cluster.study_rows import StudyRows
from triage.spool.cluster.switch_rows import EntrySwitches
from triage.spool.cluster.transactions import Transaction
from triage.spool.cluster.uploads import PART
from triage.spool.entries import Place, checked_name
from triage.spool.file_system_usage import SpoolState, SpoolUsage
from triage.spool.instance import ReceivedInstance

logger = logging.getLogger(__name__)

_HERE = "tenant = :tenant AND partition = :partition"
_INSTALL = "INSERT INTO installation (tenant, partition, uid) VALUES (:tenant, :partition, :uid) ON CONFLICT DO NOTHING"
_INSTALLED = f"SELECT uid FROM installation WHERE {_HERE}"
_TAKES = f"SELECT current_setting('transaction_read_only'), (SELECT count(*) FROM installation WHERE {_HERE})"
_OF_SITE = f"{_HERE} AND COALESCE(study_uid, '') = ''"  # in the words of the index
# Each place by one look into the index, and not by one for each of its entries, which may be the outbox of a day.
_PLACES = f"""
WITH RECURSIVE found AS (
  (SELECT place FROM entry WHERE {_OF_SITE} AND place >= :above ORDER BY place LIMIT 1)
  UNION ALL
  SELECT (SELECT place FROM entry WHERE {_OF_SITE} AND place > found.place ORDER BY place LIMIT 1) FROM found
  WHERE starts_with(found.place, :above)
)
SELECT place FROM found WHERE starts_with(place, :above)
UNION SELECT words FROM place WHERE {_HERE} AND starts_with(words, :above)
"""
_PARTITIONED = ("object", "entry", "record", "study", "study_change", "place", "installation")
_REMOVE = "DELETE FROM {table} WHERE tenant = :tenant AND (partition = :inner OR starts_with(partition, :below))"


@dataclass(frozen=True)
class TransactionBatch:
    """A batch: a transaction that ``settle`` ends, and one that takes the objects out of the inbox, ended with it."""

    _store: ClusterStore
    _transaction: Transaction

    def settle(self) -> None:
        """Commit what was written."""
        self._transaction.commit()

    def file(self, instance: ReceivedInstance) -> None:
        """Take a tagged object out of the inbox."""
        self._store.file(instance)


class ClusterStore(ObjectRows, StudyRows):
    """One partition of a store in PostgreSQL and a bucket; see ``Store``. Safe to share between threads."""

    def __init__(self, engines: Engines, scope: Scope) -> None:
        """Nothing is read or made yet."""
        super().__init__(engines, scope)
        self.workers = LeasedWorkers(engines.pool, engines.leases, scope)
        self.model_switches = EntrySwitches(self.entries("control", "disabled-models"))
        self.channel_switches = EntrySwitches(self.entries("control", "disabled-channels"))
        self._level = FillLevel(engines, scope)
        self.tables = ListTables(engines, scope)

    @property
    def name(self) -> str:
        """The addresses of the database and the bucket, without user and password."""
        at = self._engines.address.database
        inner = f", partition {self._scope.partition}" if self._scope.partition else ""
        return f"postgresql://{at.host}:{at.port}/{at.database} with {self._engines.bucket.name}{inner}"

    @property
    def caution(self) -> str:
        """Warning for a database that does not wait for its disk; empty otherwise."""
        settings = self._database.read("SELECT current_setting('fsync'), current_setting('full_page_writes')")
        if settings != [["on", "on"]]:
            return "does not wait for its disk (fsync or full_page_writes is off): a power failure loses results"
        return ""

    def exists(self) -> bool:
        """Return whether the database answers and has our tables. Never raises."""
        try:
            self._read(_INSTALLED)
        except OSError:
            return False
        return True

    def why_away(self) -> str:
        """Return why the database or the bucket cannot be used; empty if they can, as far as a look can tell."""
        try:
            ((read_only, _),) = self._read(_TAKES)
        except OSError as error:
            return f"the database cannot be used ({cause(error)})"
        if read_only != "off":
            return "the database takes no changes (it is read-only: a standby, or set so)"
        return self._why_no_objects()

    def installation_uid(self) -> str:
        """Return the UID of this installation alone; made when first used."""
        if not (found := self._read(_INSTALLED)):
            self._write(_INSTALL, uid=f"2.25.{uuid4().int}")
            found = self._read(_INSTALLED)
        return str(found[0][0])

    @contextmanager
    def batch(self) -> Iterator[TransactionBatch]:
        """Open a batch in this thread, which is in no other transaction."""
        if self._database.current() is not None:
            raise RuntimeError("a batch cannot begin in a transaction: settle would end it")
        with self._database.apart() as transaction:
            yield TransactionBatch(self, transaction)

    # Partitions.

    def partition(self, name: str) -> ClusterStore:
        """Return the partition ``name``: the rows that bear it."""
        return ClusterStore(self._engines, self._scope.inner(checked_name(name)))

    def open_partition(self, name: str) -> ClusterStore:
        """Return the partition ``name``, which is there when it is written into."""
        return self.partition(name)

    def remove_partition(self, name: str) -> None:
        """Remove all rows of a partition and of those in it; leases end by themselves."""
        inner = self._scope.inner(checked_name(name)).partition
        with self._database.transaction() as transaction:
            for table in _PARTITIONED:
                sql = _REMOVE.format(table=table)
                transaction.run(sql, tenant=self._scope.tenant, inner=inner, below=f"{inner}/")

    # Entries.

    def entries(self, *words: str) -> EntryRows:
        """Return the site's entries of the place that the words name."""
        return EntryRows(self._engines, self._scope, Place(words))

    def study_entries(self, study_instance_uid: str, *words: str) -> EntryRows:
        """Return a study's own entries of the place that the words name, or of the study itself."""
        return EntryRows(self._engines, self._scope, Place(words, study_instance_uid))

    def places(self, *words: str) -> list[str]:
        """Return the last word of every place one word longer than ``words``; none where there is none."""
        above = "".join(f"{checked_name(word)}/" for word in words)
        found = {str(place).removeprefix(above) for (place,) in self._read(_PLACES, above=above)}
        return [word for word in found if word and "/" not in word]

    # The rest.

    def remove_old_parts(self, before: float) -> None:
        """Remove what uploads left that a crash ended, and the keys of what was removed."""
        Removal(self._engines, self._scope).remove_old_parts(before)

    def remove_dead_keys(self) -> None:
        """Delete from the bucket what nothing names any more."""
        Removal(self._engines, self._scope).remove_dead_keys()

    def remove_local_parts(self, before: float) -> None:
        """Remove what uploads left on this machine."""
        Removal(self._engines, self._scope).remove_files(before)

    @contextmanager
    def scratch_file(self) -> Iterator[Path]:
        """Return the path of a file in this machine's folder for parts, which is removed at the end."""
        part = self._engines.scratch / f"{uuid4().hex}{PART}"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def usage(self) -> SpoolUsage:
        """Return how much of the quota is used. Raises OSError."""
        return self._level.usage()

    def state(self) -> SpoolState:
        """Return the parts of it that should be small. Raises OSError."""
        return self._level.state()

    def oldest_waiting(self) -> float | None:
        """Return when the oldest object in the inbox was received, in POSIX seconds; None if none waits."""
        return self._level.oldest_waiting()

    def close(self) -> None:
        """End the idle sessions of this process."""
        self._engines.close()
