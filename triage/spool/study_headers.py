"""Headers of a study's objects, read where no lock of it is held: a part of a store may be silent for half a minute.

An object of a content never changes, and a header is proven to be of that content (object_header.py). So one that was
read before the lock is right under it, if the study still has the object (docs/adr/0102).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment
from triage.spool.instance import ReceivedInstance
from triage.spool.object_header import proven_header
from triage.spool.store import Store

Header = Dataset | OSError | None
"""Attributes of an object without pixels; None if it has none that can be read; an error if they cannot be had now."""


def instance_of(assessment: ImageAssessment) -> ReceivedInstance:
    """Return the object that an assessment is of."""
    return ReceivedInstance(assessment.study_instance_uid, assessment.sop_instance_uid, assessment.content_digest)


def stored_header(spool: Store, assessment: ImageAssessment) -> Dataset | None:
    """Return the object's own attributes; None if it was received without any that can be read.

    Raises OSError for an object whose bytes cannot be had now.
    """
    instance = instance_of(assessment)
    for _ in range(2):  # it may be filed between look-up and ``open``
        found = spool.stored_object(instance)
        try:
            if found is not None:
                return proven_header(found, assessment)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(errno.ENOENT, f"the store has no bytes of object {instance.sop_instance_uid}")


def header_if_any(spool: Store, assessment: ImageAssessment) -> Header:
    """Return the same, and the error instead of raising it."""
    try:
        return stored_header(spool, assessment)
    except OSError as error:
        return error


def headers_of_a_giving_store(spool: Store) -> Callable[[ImageAssessment], Header]:
    """Return a function as ``header_if_any``, for one study, that raises the error while the store gives no objects.

    The store is asked once, after the first error.
    """
    gives = False

    def read(assessment: ImageAssessment) -> Header:
        nonlocal gives
        header = header_if_any(spool, assessment)
        if isinstance(header, OSError) and not gives:
            gives = spool.gives_objects()
            if not gives:
                raise header
        return header

    return read


@dataclass(frozen=True)
class ReadHeaders:
    """Headers of a study's current objects as they were read before its lock was taken."""

    spool: Store
    found: Mapping[ReceivedInstance, Header] = field(default_factory=dict)

    def of(self, assessment: ImageAssessment) -> Header:
        """Return an object's header; read now that of one that came since. Raises OSError if that cannot be had."""
        instance = instance_of(assessment)
        return self.found[instance] if instance in self.found else stored_header(self.spool, assessment)

    def if_any(self, assessment: ImageAssessment) -> Header:
        """Return the same, and the error instead of raising it."""
        instance = instance_of(assessment)
        return self.found[instance] if instance in self.found else header_if_any(self.spool, assessment)

    def whole(self, assessment: ImageAssessment) -> Dataset | None:
        """Return the same. Raises OSError also for one that could not be had before."""
        header = self.of(assessment)
        if isinstance(header, OSError):
            raise header
        return header


def read_headers(spool: Store, study_instance_uid: str) -> ReadHeaders:
    """Read the headers of a study's current objects. Raises OSError while the store gives no objects.

    Hold no lock of the study. Raises ValueError, KeyError and TypeError for records that cannot be read.
    """
    read = headers_of_a_giving_store(spool)
    return ReadHeaders(spool, {instance_of(each): read(each) for each in _current(spool, study_instance_uid)})


def read_headers_until_one_fails(
    spool: Store, study_instance_uid: str, new: Iterable[ImageAssessment] = ()
) -> ReadHeaders:
    """Read the same up to the first that cannot be had; its error is also that of those behind it. Raises as above.

    ``new``: assessments that are not written yet; those of other studies are passed over.
    """
    found: dict[ReceivedInstance, Header] = {}
    last: Header = None
    ours = [each for each in new if each.study_instance_uid == study_instance_uid]
    for each in (*_current(spool, study_instance_uid), *ours):
        if not isinstance(last, OSError):
            last = header_if_any(spool, each)
        found[instance_of(each)] = last
    return ReadHeaders(spool, found)


def _current(spool: Store, study_instance_uid: str) -> Iterable[ImageAssessment]:
    return current_assessments(assessment_from(each) for each in spool.assessments(study_instance_uid))
