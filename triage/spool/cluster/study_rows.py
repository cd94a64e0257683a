"""The studies that are kept, as rows, and the locks under which they change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from triage.dicom.uid import valid_uid
from triage.errors import cause
from triage.spool.cluster.missing import missing
from triage.spool.cluster.result_rows import ResultRows
from triage.spool.cluster.sql_errors import as_locked
from triage.spool.cluster.study_groups import ChangedStudies
from triage.spool.entries import checked_name

logger = logging.getLogger(__name__)

_HERE = "tenant = :tenant AND partition = :partition"
_ONE = f"{_HERE} AND study_uid = :study"
# Exclusive among those that lock; rows of the study may refer to it meanwhile.
_LOCK = f"SELECT decision IS NULL FROM study WHERE {_ONE} FOR NO KEY UPDATE"
_OF_STUDY = ("assessment", "history", "entry", "record", "object")
_EMPTY = " ".join(
    ("decision IS NULL", *(f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE {_ONE})" for table in _OF_STUDY))
)
# Writers of rows of the study that hold no lock of it are waited for here, and seen by the next statement.
_KEEP_OTHERS_OUT = f"SELECT 1 FROM study WHERE {_ONE} AND {_EMPTY} FOR UPDATE"
_REMOVE_EMPTY = f"DELETE FROM study WHERE {_ONE} AND {_EMPTY}"
_UIDS = f"SELECT study_uid FROM study WHERE {_HERE} AND study_uid > :after ORDER BY study_uid LIMIT CAST(:page AS int)"
_HAS = f"SELECT CAST(extract(epoch FROM touched) AS float8) FROM study WHERE {_ONE}"
_UNFINISHED = f"SELECT 1 FROM object WHERE {_ONE} AND state <> 'filed' LIMIT 1"
_WITH = f"""
SELECT study_uid FROM entry WHERE {_HERE} AND name = :name AND place = '' AND study_uid IS NOT NULL UNION
SELECT study_uid FROM record WHERE {_HERE} AND name = :name AND place = '' AND study_uid IS NOT NULL
ORDER BY study_uid
"""
_REMOVE_OBJECTS = f"DELETE FROM object WHERE {_ONE} AND state = 'filed'"
_REMOVE = f"DELETE FROM study WHERE {_ONE} RETURNING 1"


class _UndoneError(Exception):
    """The end of a trial that leaves nothing."""


class StudyRows(ResultRows):
    """The studies of one partition; see ``Studies`` in store.py."""

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        """Hold the lock of a study: the row's, in a transaction. In a batch it is held until that is settled.

        What is written under it is committed at the end of the block, or undone if that raises; in a batch, what was
        written about other studies stays. A study of which there is nothing then is none. Raises LockedError where
        another process holds it for longer than a statement may wait (``postgres.statement_timeout_s``).
        """
        uid = valid_uid(study_instance_uid)
        current = self._database.current()
        with self._database.transaction() if current is None else current.savepoint():
            is_decided = self._lock(uid)
            yield
            if not is_decided and self._write(_KEEP_OTHERS_OUT, study=uid):  # retention would never remove its row
                self._write(_REMOVE_EMPTY, study=uid)

    def when_durable(self, study_instance_uid: str, act: Callable[[], None]) -> None:
        """Call ``act`` after the COMMIT of the thread's transaction, in a lock of the study of its own."""

        def locked() -> None:
            with self.study_lock(study_instance_uid):
                act()

        if (current := self._database.current()) is None:
            locked()
        else:
            current.afterwards.append(locked)

    def study_uids(self) -> Iterator[str]:
        """Yield every study."""
        return (str(uid) for (uid,) in self._pages(_UIDS, lambda row: {"after": str(row[0])}, after=""))

    def has_study(self, study_instance_uid: str) -> bool:
        """Return whether there is a study of this UID."""
        return bool(self._read(_HAS, study=valid_uid(study_instance_uid)))

    def study_changes(self) -> ChangedStudies:
        """Return a new observer of the studies."""
        return ChangedStudies(self._engines, self._scope)

    def studies_with(self, entry: str) -> Iterator[str]:
        """Yield the studies that have an entry or log of this name, in the order of their UIDs. Reads all."""
        return (str(uid) for (uid,) in self._read(_WITH, name=checked_name(entry)))

    def is_unfinished(self, study_instance_uid: str) -> bool:
        """Return whether an object of the study waits or is a dead letter."""
        return bool(self._read(_UNFINISHED, study=valid_uid(study_instance_uid)))

    def touched(self, study_instance_uid: str) -> float:
        """Return when the study was made or last decided, by the database's clock; now for an unknown one."""
        found = self._read(_HAS, study=valid_uid(study_instance_uid))
        return float(str(found[0][0])) if found else time.time()

    def remove_study(self, study_instance_uid: str) -> None:
        """Remove a study with all that is of it, in one transaction; its keys go to the list of those to delete."""
        uid = valid_uid(study_instance_uid)
        with self._database.transaction():
            self._write(_REMOVE_OBJECTS, study=uid)
            if not self._write(_REMOVE, study=uid):
                raise missing("the store does not have this study")

    def takes_studies(self) -> bool:
        """Return whether a new study can be written: in a transaction that is undone. Never raises.

        In a batch that has lost its transaction it cannot.
        """
        try:
            with self._database.transaction() as transaction, suppress(_UndoneError), transaction.savepoint():
                self._make_study(f"2.25.{uuid4().int}")
                raise _UndoneError
            return True
        except OSError as error:
            logger.warning("the store takes no studies: %s", cause(error))
            return False

    def _lock(self, uid: str) -> bool:
        """Lock the row of a study, made if there is none, and return whether the study is decided."""
        try:
            while not (found := self._write(_LOCK, study=uid)):  # another process may remove it in between
                self._make_study(uid)
        except OSError as error:
            if (locked := as_locked(error)) is not None:
                raise locked from error
            raise
        return found == [[False]]
