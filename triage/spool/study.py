"""A study's decision, images and attributes, from its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from pydicom.dataset import Dataset

from triage.decision.correction import Correction
from triage.decision.decide import current_assessments
from triage.decision.findings import StudyFinding
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, decision_from
from triage.decision.rejection import standing
from triage.decision.types import ImageAssessment, TriageDecision
from triage.dicom.attribute_text import text_of
from triage.dicom.fitting import fitting_uid
from triage.dicom.uid import uid_of
from triage.spool.store import Store
from triage.spool.stored_object import StoredObject
from triage.spool.study_headers import (
    Header,
    ReadHeaders,
    header_if_any,
    headers_of_a_giving_store,
    instance_of,
    stored_header,
)

GIVEN_UP_AFTER_S = 900.0
"""A study of which an object could not be read for so long is told of without it, while the store gives others."""

WholeStudy = tuple[TriageDecision, "tuple[StudyImage, ...]"]
"""A study's decision and its current objects with their attributes."""


def read_study(spool: Store, study_instance_uid: str) -> WholeStudy | None:
    """Return the study's decision and its current objects with their attributes; None before the first decision.

    Hold the study's lock. An object that cannot be read has the attributes of its assessment.
    """
    return _read(spool, study_instance_uid, partial(header_if_any, spool))


def read_whole_study(spool: Store, study_instance_uid: str) -> WholeStudy | None:
    """Return the same as ``read_study``. Raises OSError for an object whose bytes cannot be had now.

    That is FileNotFoundError for one that the store should have: a part of a store that is away may say so.
    """
    return _read(spool, study_instance_uid, partial(stored_header, spool))


def read_study_of_objects(spool: Store, study_instance_uid: str) -> WholeStudy | None:
    """Return the same as ``read_study``. Raises OSError while the store gives no objects.

    For what must not take a study for one without a patient, as assessments alone have none. Of a store that gives
    others, an object that cannot be read is as in ``read_study``, and ``StudyImage.unread`` says so: for a moment or
    for good.
    """
    return _read(spool, study_instance_uid, headers_of_a_giving_store(spool))


def read_study_with(headers: ReadHeaders, study_instance_uid: str) -> WholeStudy | None:
    """Return the same, by headers that were read before. Hold the study's lock.

    Raises OSError for an object that came since and cannot be read.
    """
    return _read(headers.spool, study_instance_uid, headers.of)


def read_whole_study_with(headers: ReadHeaders, study_instance_uid: str) -> WholeStudy | None:
    """Return the same as ``read_whole_study``, by headers that were read before. Hold the study's lock."""
    return _read(headers.spool, study_instance_uid, headers.whole)


def _read(spool: Store, study_instance_uid: str, header: Callable[[ImageAssessment], Header]) -> WholeStudy | None:
    record = spool.decision(study_instance_uid)
    if record is None:
        return None
    assessments = [assessment_from(each) for each in spool.assessments(study_instance_uid)]
    decision = decision_from(record)
    current = current_assessments(assessments)
    own = _own(current, decision)
    images = [_image(spool, each, header(each)) for each in _in_order(current, own)]
    return decision, tuple(replace(each, is_own=not own or each.assessment.sop_instance_uid in own) for each in images)


def associations_of(spool: Store, study_instance_uid: str) -> str:
    """Return the names of the associations that the study's objects came over, as in the log, separated by spaces."""
    try:
        found = {str(each.get("association", "")) for each in spool.assessments(study_instance_uid)}
    except OSError:  # the next reader reports it
        return ""
    return " ".join(sorted(found - {""}))


def _own(current: list[ImageAssessment], decision: TriageDecision) -> set[str]:
    """Return the SOP Instance UIDs of the images that patient and order may be taken from.

    None that was rejected as wrong; if the images are of different patients, the decision's evidence.
    """
    if Reason.PATIENT_MISMATCH in decision.reasons:
        return set(decision.evidence)
    return {image.sop_instance_uid for image in standing(current)}


def _in_order(current: list[ImageAssessment], own: set[str]) -> list[ImageAssessment]:
    """Return the images by time of receipt, the study's own first: messages name patient and order of the first."""
    return sorted(current, key=lambda image: image.sop_instance_uid not in own)


def _image(spool: Store, assessment: ImageAssessment, own: Header) -> StudyImage:
    unread = isinstance(own, OSError)
    header = own if isinstance(own, Dataset) else attributes_known(assessment)
    if not assessment.sop_class_uid:  # no worker could open the object: its own attributes name its class
        known = [text_of(header, keyword) for keyword in ("SOPClassUID", "SeriesInstanceUID")]
        assessment = replace(assessment, sop_class_uid=known[0], series_instance_uid=known[1])
    stored = spool.stored_object(instance_of(assessment))
    return StudyImage(assessment, header, stored, has_header=isinstance(own, Dataset), unread=unread)


def read_header(spool: Store, assessment: ImageAssessment) -> Dataset:
    """Return the object's attributes, without pixels; of a damaged object those before the damage.

    Those of an object that cannot be read are what its assessment has of them, as are those of one whose bytes are not
    the ones that were received.
    """
    header = header_if_any(spool, assessment)
    return header if isinstance(header, Dataset) else attributes_known(assessment)


def attributes_known(assessment: ImageAssessment) -> Dataset:
    """Return the attributes of an object that its assessment has: none that identifies a patient."""
    header = Dataset()
    header.SOPClassUID = assessment.sop_class_uid
    header.SOPInstanceUID = assessment.sop_instance_uid
    header.StudyInstanceUID = assessment.study_instance_uid
    header.SeriesInstanceUID = assessment.series_instance_uid
    header.AccessionNumber = assessment.accession_number
    header.Modality = assessment.modality
    return header


def revision(decision: TriageDecision, images: Sequence[StudyImage], encoder: str, before: str) -> str:
    """Return the digest, of 32 hex digits, of everything that a message depends on.

    The decision's own revision covers its settings; ``encoder`` is the kind and version of the message, ``before`` the
    revision of the message that it follows. A study whose record has no findings has the revision of earlier releases.
    """
    contents = sorted(
        f"{each.sop_instance_uid} {each.content_digest} {each.model_digest or ''}"
        for each in (image.assessment for image in images)
    )
    text = "\n".join([decision.study_instance_uid, decision.revision, encoder, before, *contents])
    return sha256("\n".join([text, *map(_finding, decision.findings)]).encode()).hexdigest()[:32]


def _finding(finding: StudyFinding) -> str:
    return f"finding {finding.name} {finding.state} {finding.urgency} {finding.probability!r} {finding.threshold!r}"


@dataclass(frozen=True, eq=False)
class StudyImage:
    """One object of a study: its assessment, its attributes without pixels, and its bytes where they are kept.

    ``has_header``: the attributes are its own; false if it cannot be read, and its assessment alone is known.
    ``unread``: that is as its bytes cannot be had now; they may be had later. ``is_own``: patient and order may be
    taken from it; false of one that was rejected as wrong, or is of another patient than the evidence.
    """

    assessment: ImageAssessment
    header: Dataset
    stored: StoredObject | None = None
    has_header: bool = True
    unread: bool = False
    is_own: bool = True


def referenced(image: StudyImage) -> tuple[str, str, str]:
    """Return the SOP Class, SOP Instance and Series Instance UID by which our objects refer to an image.

    An invalid UID is replaced by one derived from it, always the same: a reference must have one.
    """
    assessment = image.assessment
    return (
        fitting_uid(assessment.sop_class_uid, uid_of("class", assessment.sop_class_uid)),
        assessment.sop_instance_uid,
        fitting_uid(assessment.series_instance_uid, uid_of("series", assessment.sop_instance_uid)),
    )


@dataclass(frozen=True)
class PreviousMessage:
    """The last message to a destination about a study; ``payload`` has its bytes where a correction needs them.

    ``lacked_images``: it was built without images that could not be read, and may name no patient. ``said``: what the
    receiver learned.
    """

    revision: str
    tag: str
    identity: dict[str, str]
    payload: bytes = b""
    lacked_images: bool = False
    said: Sequence[object] = ()


@dataclass(frozen=True, eq=False)
class Study:
    """The content of one study that a message is built from; at least one image.

    ``number`` counts the messages to this destination about the study, from 1. ``revision``: see ``revision``.
    ``before`` is the last message. ``now`` in POSIX seconds. ``test``: the study is no patient's, and the message must
    be marked as a test. ``correction``: the message corrects what was said before, because of this act.
    """

    decision: TriageDecision
    images: tuple[StudyImage, ...]
    now: float
    number: int = 1
    revision: str = ""
    before: PreviousMessage | None = None
    test: bool = False
    correction: Correction | None = None

    @property
    def scored(self) -> tuple[StudyImage, ...]:
        """The images whose probability counts, without those of a shadow model."""
        return tuple(
            image
            for image in self.images
            if image.assessment.probability is not None and image.assessment.counts and not image.assessment.shadow
        )

    @property
    def unread(self) -> bool:
        """True if an image could not be read, so that patient and order may not be known."""
        return any(image.unread for image in self.images)

    @property
    def raised(self) -> bool:
        """True if the study goes to the top of the list: of an urgency that raises, and no prior."""
        return self.decision.raised

    @property
    def before_findings(self) -> bool:
        """True if a release before findings recorded the study: its messages keep their form, to the byte."""
        assessed = (image.assessment for image in self.images)
        return not self.decision.findings and (
            self.decision.order_priority is None or any(each.model_id and not each.results for each in assessed)
        )

    @property
    def shadow_only(self) -> bool:
        """True if only shadow models scored the study."""
        counted = [image.assessment for image in self.images if image.assessment.counts]
        return bool(counted) and all(assessment.shadow for assessment in counted)
