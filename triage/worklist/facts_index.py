"""Facts of the listed studies: read from the spool, and held in the memory of this process only.

Neither Redis nor a file holds them: patient data lies in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from triage.dicom.uid import InvalidUIDError
from triage.spool.store import Store
from triage.worklist.study_facts import UNKNOWN, StudyFacts, facts_of

_CHECK_EVERY_S = 60.0
_CHECK_AT_MOST_S = 0.05


class FactsIndex:
    """Facts of the listed studies.

    ``follow`` reads those of new studies, and once a minute begins to check those read before for changes: that costs
    an access to every study's folder, and a study hardly ever changes its patient.
    """

    def __init__(self, spool: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._clock = clock
        self._facts: dict[str, tuple[float, StudyFacts]] = {}
        self.changed: set[str] = set()  # studies with other facts than before, until they are taken out
        self._followed: int | None = None  # version of the list whose studies are all known
        self._begun: int | None = None  # version of the list whose studies are being read
        self._to_read: list[str] = []
        self._kept: int | None = None  # version of the list to which the facts were cut down
        self._has_others = False  # facts of studies that were asked for by themselves, and may be on no list
        self._to_check: list[str] = []
        self._checked_at = clock()

    def follow(self, listed: Collection[str], version: int, at_most_s: float) -> bool:
        """Read further of the ``listed`` studies for at most ``at_most_s`` seconds; return True if all are known.

        ``version`` is another one after each change of the list.
        """
        until = self._clock() + at_most_s
        if version != self._followed:
            if version != self._begun:
                self._to_read, self._begun = [uid for uid in listed if uid not in self._facts], version
            if not self._read_some(until):
                return False
            self._followed = version
        self._check(listed)
        return True

    def keep_only(self, listed: Collection[str], version: int) -> None:
        """Forget all studies but the ``listed`` ones, once for each version of the list."""
        if version == self._kept and not self._has_others:
            return
        self._kept, self._has_others = version, False
        for uid in self._facts.keys() - listed:
            self._facts.pop(uid, None)

    def of(self, study_instance_uid: str) -> StudyFacts:
        """Return the facts of a study as they were read last; those of an unknown study are empty."""
        return self._facts.get(study_instance_uid, (0.0, UNKNOWN))[1]

    def newest(self, study_instance_uid: str) -> StudyFacts:
        """Return the facts of a study, read again if its folder changed."""
        was_known = study_instance_uid in self._facts
        facts = self._newest(study_instance_uid)
        self._has_others |= not was_known
        return facts

    def _newest(self, study_instance_uid: str) -> StudyFacts:
        try:
            touched = self._spool.touched(study_instance_uid)
        except InvalidUIDError:  # a stranger's entry in the index
            return UNKNOWN
        known = self._facts.get(study_instance_uid)
        if known is None or known[0] != touched:
            facts = facts_of(self._spool, study_instance_uid)
            if known is None or known[1] != facts:
                self.changed.add(study_instance_uid)
            known = self._facts[study_instance_uid] = (touched, facts)
        return known[1]

    def _read_some(self, until: float) -> bool:
        """Read studies of which nothing is known yet; return False if the time was too short."""
        while self._to_read:
            if self._clock() > until:
                return False
            self._newest(self._to_read[-1])
            self._to_read.pop()  # behind the reading, which may fail
        return True

    def _check(self, listed: Iterable[str]) -> None:
        """Check some studies for changes, all of them within a minute or so: no request waits for all."""
        now = self._clock()
        if not self._to_check and now - self._checked_at >= _CHECK_EVERY_S:
            self._to_check, self._checked_at = list(listed), now
        while self._to_check and self._clock() <= now + _CHECK_AT_MOST_S:
            uid = self._to_check.pop()
            if uid in self._facts:  # else it was removed meanwhile
                self._newest(uid)
