"""The studies of the spool by Patient ID: digests of the IDs, in this process's memory alone.

All studies count, read ones too: a prior has mostly left the list. No ID, no name and no birth date is held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from pydicom.dataset import Dataset

from triage.decision.identity import PatientMarks
from triage.decision.records import assessment_from
from triage.decision.rejection import standing, with_rejections
from triage.decision.types import ImageAssessment
from triage.dicom.identity import patient_marks
from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.spool.store import Store
from triage.spool.study_headers import Header, header_if_any

logger = logging.getLogger(__name__)

_STEP_S = 0.05
_PAUSE_S = 0.05
_FOLLOW_EVERY_S = 2.0
_CHECK_EVERY_S = 30.0
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def marks_of(
    spool: Store, study_instance_uid: str, header: Callable[[ImageAssessment], Header] | None = None
) -> tuple[PatientMarks, ...]:
    """Return the marks of the patient in each image of a study that was not rejected; none of unreadable records.

    Records of releases before marks have none: they are read from the images, by ``header`` if it is given.
    """
    try:
        found = [assessment_from(each) for each in spool.assessments(study_instance_uid)]
        counted = standing(list(with_rejections(found)))
        marks = [each.patient for each in counted]
        if not any(each.identifiers for each in marks):
            headers = map(header or partial(header_if_any, spool), counted)
            marks = [patient_marks(each) if isinstance(each, Dataset) else PatientMarks() for each in headers]
    except InvalidUIDError:
        return ()
    except _UNREADABLE as error:
        logger.error("study %s is found by no patient: unreadable records (%s)", study_instance_uid, cause(error))
        return ()
    return tuple(marks)


class PatientIndex:
    """The studies of the spool by digests of patients' IDs. Thread-safe; ``follow`` keeps it like the spool."""

    def __init__(self, spool: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._clock = clock
        self._lock = threading.Lock()
        self._changes = spool.study_changes()
        self._parents: dict[str, set[str]] = {}
        self._to_read: dict[str, None] = {}
        self._digests: dict[str, frozenset[str]] = {}
        self._studies: defaultdict[str, set[str]] = defaultdict(set)
        self._nameless: dict[str, float] = {}  # studies without an ID, and when their folders had changed
        self._checked_at = clock()

    def follow(self, stopping: threading.Event) -> None:
        """Keep the index like the spool until ``stopping``, in small steps between which requests can run."""
        while not stopping.is_set():
            try:
                complete = self.catch_up(_STEP_S)
            except OSError as error:
                logger.error("the studies of the spool cannot be listed: %s", cause(error))
                complete = True
            stopping.wait(_FOLLOW_EVERY_S if complete else _PAUSE_S)

    def catch_up(self, at_most_s: float) -> bool:
        """Read further studies for at most ``at_most_s`` seconds; return True if all are known. Raises OSError."""
        with self._lock:
            self._follow_folders()
            self._check_nameless()
            until = self._clock() + at_most_s
            while self._to_read and self._clock() <= until:
                self._read_or_keep(self._to_read.popitem()[0])
            return not self._to_read

    def bearing(self, digests: Iterable[str]) -> set[str]:
        """Return the studies in which one of the IDs was found."""
        with self._lock:
            return {uid for digest in digests for uid in self._studies.get(digest, ())}

    def _follow_folders(self) -> None:
        for parent, uids in self._changes.changed().items():
            before, now = self._parents.pop(parent, set()), set(uids)
            if now:
                self._parents[parent] = now
            self._to_read.update(dict.fromkeys(now - before))
            for uid in before - now:
                self._forget(uid)

    def _forget(self, uid: str) -> None:
        self._to_read.pop(uid, None)
        self._nameless.pop(uid, None)
        for digest in self._digests.pop(uid, ()):
            self._studies[digest].discard(uid)
            if not self._studies[digest]:
                del self._studies[digest]

    def _read_or_keep(self, uid: str) -> None:
        """Read a study; one that cannot be read now comes again behind the others. Raises OSError."""
        try:
            self._read(uid)
        except OSError:
            self._to_read = {uid: None, **self._to_read}
            raise

    def _read(self, uid: str) -> None:
        touched = self._spool.touched(uid)
        digests = frozenset(digest for each in marks_of(self._spool, uid) for digest, _ in each.identifiers if digest)
        self._forget(uid)
        if not digests:
            self._nameless[uid] = touched
            return
        self._digests[uid] = digests
        for digest in digests:
            self._studies[digest].add(uid)

    def _check_nameless(self) -> None:
        """Read studies without an ID again if an image came since."""
        if self._clock() - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = self._clock()
        changed = [uid for uid, touched in self._nameless.items() if self._spool.touched(uid) != touched]
        self._to_read.update(dict.fromkeys(changed))
