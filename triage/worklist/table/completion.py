"""Completion of a row of the list from the objects and logs of its study, in the transaction that changes them.

The bytes of objects lie in a bucket that may be away: then the row is listed with what is known, and is not complete
until the sweep has read them.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from triage.decision.types import ImageAssessment
from triage.dicom.identity import patient_issuer
from triage.errors import cause
from triage.spool.patient import naming_image
from triage.spool.store import Store
from triage.spool.study import StudyImage, read_whole_study_with
from triage.spool.study_headers import ReadHeaders, read_headers_until_one_fails
from triage.spool.tables import Tables, Value
from triage.worklist.patient_index import marks_of
from triage.worklist.reader_acts import acts_of, leaving_act
from triage.worklist.study_facts import facts_in
from triage.worklist.table.rows import facts_columns

logger = logging.getLogger(__name__)

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_OF_ONE_OBJECT = frozenset({errno.EIO, errno.EFBIG, errno.ENOENT})
"""Errors of the bucket that say nothing of the next object: each sweep tries that object again."""
_PAUSE_S = 30.0  # after the bucket did not answer: a batch must not wait for it study by study

_ONE = "tenant = :tenant AND partition = :partition AND study_uid = :study"
_TYPES = {
    "age_years": "float8",
    "acquired_at": "float8",
    "views": "text[]",
    "patient_grams": "text[]",
    "number_grams": "text[]",
    "complete": "boolean",
    "read_at": "float8",
}
_FORGET_PATIENTS = f"DELETE FROM study_patient WHERE {_ONE} AND digest <> ALL(CAST(:digests AS text[]))"
_KEEP_PATIENTS = """
INSERT INTO study_patient (tenant, partition, study_uid, digest)
SELECT :tenant, :partition, :study, unnest(CAST(:digests AS text[])) ON CONFLICT DO NOTHING
"""
# The listed ones first: what is read already can wait.
_INCOMPLETE = """
SELECT unread, arrival, study_uid FROM listed_study WHERE tenant = :tenant AND partition = :partition AND NOT complete
AND (unread, arrival, study_uid) < (CAST(:unread AS boolean), CAST(:arrival AS bigint), CAST(:study AS text))
ORDER BY unread DESC, arrival DESC, study_uid DESC LIMIT CAST(:limit AS int)
"""


@dataclass(frozen=True, order=True)
class ListPlace:
    """A study's place among those that are not complete, the lowest last: ``arrival`` in microseconds."""

    unread: bool
    arrival: int
    study_uid: str


_BEFORE_ALL = ListPlace(True, (1 << 63) - 1, "")


@dataclass
class CompletionTurns:
    """Progress of the completion from sweep to sweep; each process has its own.

    Objects that cannot be read leave their studies incomplete, and each sweep tries so many studies at most. So a half
    of them are always the first ones, and the other half go on behind ``after``, those that were tried last.
    """

    after: ListPlace = _BEFORE_ALL

    def next(self, incomplete: Callable[[ListPlace, int], list[ListPlace]], at_most: int) -> list[str]:
        """Return the studies whose turn it is. ``incomplete`` returns those behind a place, so many at most."""
        for_turns = at_most // 2
        first = incomplete(_BEFORE_ALL, at_most - for_turns)
        further = incomplete(min(self.after, first[-1]), for_turns) if first else []
        self.after = further[-1] if further and len(further) == for_turns else _BEFORE_ALL
        return [each.study_uid for each in (*first, *further)]


class RowCompletion:
    """Completes rows of one store. Safe to share between threads."""

    def __init__(self, spool: Store, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool, self._tables, self._clock = spool, tables, clock
        self._bucket_again_at = float("-inf")

    def headers(self, study_instance_uid: str, new: Iterable[ImageAssessment] = ()) -> ReadHeaders:
        """Return the headers of a study's objects for ``complete``, with those of assessments that are not written yet.

        None of them while the bucket rests. Hold no lock of the study: a bucket may be slow, and a part of it silent.
        Never raises.
        """
        if self.is_resting():
            return ReadHeaders(self._spool)
        try:
            found = read_headers_until_one_fails(self._spool, study_instance_uid, new)
        except (OSError, *_UNREADABLE):  # ``complete`` meets the same, and says it
            return ReadHeaders(self._spool)
        for each in found.found.values():
            if isinstance(each, OSError):
                self._rest_after(each)
        return found

    def complete(self, study_instance_uid: str, headers: ReadHeaders) -> bool:
        """Write what a study's objects and acts say into its row; return whether all of it is known now.

        Hold the study's lock. Raises OSError.
        """
        known = self._known(study_instance_uid, headers)
        columns: dict[str, Value] = {**self._read(study_instance_uid), "complete": known is not None}
        if known is not None:
            columns |= known
            self._keep_patients(study_instance_uid, headers)
        sets = ", ".join(f"{name} = CAST(:{name} AS {_TYPES.get(name, 'text')})" for name in columns)
        self._tables.write(f"UPDATE listed_study SET {sets} WHERE {_ONE}", study=study_instance_uid, **columns)
        return known is not None

    def incomplete(self, behind: ListPlace, limit: int) -> list[ListPlace]:
        """Return studies whose rows are not complete, the listed ones first, then the last ones. Raises OSError."""
        rows = self._tables.read(
            _INCOMPLETE, unread=behind.unread, arrival=behind.arrival, study=behind.study_uid, limit=limit
        )
        return [ListPlace(bool(unread), int(str(arrival)), str(uid)) for unread, arrival, uid in rows]

    def is_resting(self) -> bool:
        """Return whether the bucket did not answer a moment ago, so that it is not asked."""
        return self._clock() < self._bucket_again_at

    def _read(self, study_instance_uid: str) -> dict[str, Value]:
        try:
            last = leaving_act(acts_of(self._spool, study_instance_uid))
        except _UNREADABLE as error:  # broken, or of another release
            logger.error("the readings of study %s cannot be read (%s): it is listed", study_instance_uid, cause(error))
            last = None
        return {"read_revision": last.revision if last else None, "read_at": last.at if last else None}

    def _known(self, study_instance_uid: str, headers: ReadHeaders) -> dict[str, Value] | None:
        """Return the columns of patient and images; None while the bytes of an object cannot be had."""
        if self.is_resting() and not headers.found:
            return None
        try:
            found = read_whole_study_with(headers, study_instance_uid)
        except OSError as error:
            self._rest_after(error)
            logger.warning(
                "study %s is listed without its patient until the next sweep: %s", study_instance_uid, cause(error)
            )
            return None
        except _UNREADABLE as error:
            logger.error(
                "study %s is listed without patient: unreadable records (%s)", study_instance_uid, cause(error)
            )
            return {}
        if found is None:  # removed meanwhile
            return {}
        decision, images = found
        return facts_columns(facts_in(images), _issuer(images), decision)

    def _rest_after(self, error: OSError) -> None:
        if error.errno not in _OF_ONE_OBJECT:
            self._bucket_again_at = self._clock() + _PAUSE_S

    def _keep_patients(self, study_instance_uid: str, headers: ReadHeaders) -> None:
        marks = marks_of(self._spool, study_instance_uid, headers.if_any)
        digests = sorted({digest for each in marks for digest, _ in each.identifiers if digest})
        self._tables.write(_FORGET_PATIENTS, study=study_instance_uid, digests=digests)
        if digests:
            self._tables.write(_KEEP_PATIENTS, study=study_instance_uid, digests=digests)


def _issuer(images: Sequence[StudyImage]) -> str:
    """Return the issuer of the Patient ID that the list shows, as a text; empty where none is stated."""
    found = naming_image(images)
    return "" if found is None else str(patient_issuer(found.header))
