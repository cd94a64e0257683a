"""Studies in groups, of which those without a change are not read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

from triage.spool.cluster.rows import Engines, Rows, Scope

KEPT_S = 24 * 3600.0
"""Seconds for which changes are kept. An observer that did not look for half of it reads all."""

_NOW = "SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)"
_ALL = """
SELECT study_group, study_uid FROM study WHERE tenant = :tenant AND partition = :partition
AND study_uid > :after ORDER BY study_uid LIMIT CAST(:page AS int)
"""
_CHANGED = """
SELECT DISTINCT study_group FROM study_change WHERE tenant = :tenant AND partition = :partition
AND transaction >= CAST(:since AS xid8) AND transaction < pg_snapshot_xmax(pg_current_snapshot())
"""
_OF_GROUP = """
SELECT study_uid FROM study WHERE tenant = :tenant AND partition = :partition AND study_group = :study_group
"""


class ChangedStudies(Rows):
    """The groups of studies that one process looks at again and again; see ``StudyChanges``.

    A number from a sequence is given before its transaction ends, so that a lower one may be seen later than a higher
    one, and be missed. So a change has the number of its transaction, and a look begins where the oldest transaction
    was that ran at the look before: a change may be told twice, and is never missed. Changes of a database that was
    restored into another server have numbers of the future there, and are left out: the first look reads all.
    """

    def __init__(self, engines: Engines, scope: Scope, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(engines, scope)
        self._clock = clock
        self._since, self._looked_at = "", 0.0
        self._known: set[str] = set()

    def changed(self) -> dict[str, list[str]]:
        """Return the study UIDs in each group that changed since the last call, by its name; first all."""
        since, looked_at = self._since, self._looked_at
        now = self._clock()
        ((snapshot,),) = self._database.read(_NOW)
        if not since or now - looked_at > KEPT_S / 2:
            found = self._all()
        else:
            names = [str(name) for (name,) in self._read(_CHANGED, since=since)]
            found = {name: [str(uid) for (uid,) in self._read(_OF_GROUP, study_group=name)] for name in names}
        self._since, self._looked_at = str(snapshot), now
        self._known |= found.keys()
        return found

    def forget(self) -> None:
        """Read all groups anew at the next call."""
        self._since = ""

    def _all(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self._known}
        for group, uid in self._pages(_ALL, lambda row: {"after": str(row[1])}, after=""):
            found.setdefault(str(group), []).append(str(uid))
        return found


def group_of(study_instance_uid: str) -> str:
    """Return the name of a study's group: one of 256."""
    return sha256(study_instance_uid.encode()).hexdigest()[:2]
