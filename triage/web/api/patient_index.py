"""Index of the listed studies by patient name and ID: read from the spool, and held in the memory of this process only.

Neither Redis nor a file holds it: patient data lies in one place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from triage.spool.patient import patient_of
from triage.spool.spool import Spool
from triage.web.api.patient_match import matches, searchable, words
from triage.worklist.index import Worklist

logger = logging.getLogger(__name__)

_AT_MOST_S = 2.0
_CHECK_EVERY_S = 60.0
_PAUSE_S = 0.05
_WITHOUT_REDIS_S = 5.0


class PatientIndex:
    """Patients of the listed studies.

    A new study is read at the next search. Studies read before are checked for changes once a minute: that costs an
    access to every study's folder, and a study hardly ever changes its patient.
    """

    def __init__(self, spool: Spool, index: Worklist, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._index = index
        self._clock = clock
        self._patients: dict[str, tuple[float, str]] = {}
        # Number of changes of the worklist at the last read of new studies, and at the last check of all; its time.
        self._read_changes: int | None = None
        self._checked_changes: int | None = None
        self._checked_at = -_CHECK_EVERY_S
        self._reading = threading.Lock()

    def find(self, text: str, at_most_s: float = _AT_MOST_S) -> tuple[frozenset[str], bool]:
        """Return the studies whose patient matches ``text``, and True if the index is complete.

        Each call reads further studies, for at most ``at_most_s`` seconds. Raises RedisError.
        """
        with self._reading:
            complete = self._catch_up(at_most_s)
            wanted = words(text)
            if not wanted:
                return frozenset(), complete
            return frozenset(uid for uid, (_, patient) in self._patients.items() if matches(patient, wanted)), complete

    def fill(self, stopping: threading.Event) -> None:
        """Read all studies in small steps, between which searches can run, until done or ``stopping``."""
        while not stopping.is_set():
            try:
                if self.find("", _PAUSE_S)[1]:
                    return
                stopping.wait(_PAUSE_S)
            except RedisError:
                stopping.wait(_WITHOUT_REDIS_S)

    def _catch_up(self, at_most_s: float) -> bool:
        changes, now = self._index.changes(), self._clock()
        check = changes != self._checked_changes and now - self._checked_at >= _CHECK_EVERY_S
        if changes == self._read_changes and not check:
            return True
        listed = set(self._index.study_uids())
        for uid in self._patients.keys() - listed:
            del self._patients[uid]
        if not self._read(listed if check else listed - self._patients.keys(), now + at_most_s):
            return False
        self._read_changes = changes
        if check:
            self._checked_changes, self._checked_at = changes, now
        return True

    def _read(self, studies: set[str], until: float) -> bool:
        """Read the changed ones of these studies; return False if the time was too short."""
        for uid in studies:
            touched = self._spool.touched(uid)
            if uid in self._patients and self._patients[uid][0] == touched:
                continue
            if self._clock() > until:
                return False
            patient = patient_of(self._spool, uid)
            self._patients[uid] = (touched, searchable(patient.patient_id, patient.name))
        return True
