"""Who the listed studies are of, by name and ID: read from the spool, and held in this process alone.

Not in Redis and not in a file of its own: patient data lies in one place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from triage.spool.patient import patient_of
from triage.spool.spool import Spool
from triage.web.api.patient_match import names, searchable, words
from triage.worklist.index import Worklist

logger = logging.getLogger(__name__)

_AT_MOST_S = 2.0
_AGAIN_AFTER_S = 60.0
_PAUSE_S = 0.05
_WITHOUT_REDIS_S = 5.0


class PatientIndex:
    """A new study is read when somebody looks for a patient; what was read once, again when something happened to it.

    The latter is looked at once a minute: it costs a look at every study's folder, and a study hardly ever changes its
    patient.
    """

    def __init__(self, spool: Spool, index: Worklist, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._index = index
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}
        # The index's number of changes when the new studies were read last, and when all were looked at; and when
        # that was.
        self._read_at: int | None = None
        self._looked_at: int | None = None
        self._looked = -_AGAIN_AFTER_S
        self._reading = threading.Lock()

    def find(self, text: str, at_most_s: float = _AT_MOST_S) -> tuple[frozenset[str], bool]:
        """The studies of patients whom ``text`` names, and whether all studies are known: some seconds' reading each
        time, until they are. Raises RedisError.
        """
        with self._reading:
            complete = self._catch_up(at_most_s)
            looked_for = words(text)
            if not looked_for:
                return frozenset(), complete
            return frozenset(uid for uid, (_, who) in self._known.items() if names(who, looked_for)), complete

    def fill(self, stopping: threading.Event) -> None:
        """Read all there is, in small steps between which others may look, until that is done or ``stopping``."""
        while not stopping.is_set():
            try:
                if self.find("", _PAUSE_S)[1]:
                    return
                stopping.wait(_PAUSE_S)
            except RedisError:
                stopping.wait(_WITHOUT_REDIS_S)

    def _catch_up(self, at_most_s: float) -> bool:
        changes, now = self._index.changes(), self._clock()
        again = changes != self._looked_at and now - self._looked >= _AGAIN_AFTER_S
        if changes == self._read_at and not again:
            return True
        there = set(self._index.study_uids())
        for uid in self._known.keys() - there:
            del self._known[uid]
        if not self._read(there if again else there - self._known.keys(), now + at_most_s):
            return False
        self._read_at = changes
        if again:
            self._looked_at, self._looked = changes, now
        return True

    def _read(self, studies: set[str], until: float) -> bool:
        """Read those of which something is new; whether there was time for all."""
        for uid in studies:
            touched = self._spool.touched(uid)
            if uid in self._known and self._known[uid][0] == touched:
                continue
            if self._clock() > until:
                return False
            patient = patient_of(self._spool, uid)
            self._known[uid] = (touched, searchable(patient.patient_id, patient.name))
        return True
