"""Recall of what a model or an operating point said: its studies, what was delivered, and what became of them.

Everything is read from the files of the studies, so that a recall that was interrupted goes on where it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from triage.decision.correction import Correction
from triage.decision.records import assessment_from, decision_from
from triage.decision.types import ImageAssessment, ModelResult, TriageDecision
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord
from triage.errors import cause
from triage.operations.one_study import UNREADABLE
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import corrections_of, recalled_assessments
from triage.spool.store import Store
from triage.worklist.reader_acts import acts_of, leaving_act

logger = logging.getLogger(__name__)

Contents = tuple[str, str]
"""SOP Instance UID and digest of one content."""


@dataclass(frozen=True)
class RecallScope:
    """The results that are recalled; empty parts hold for all.

    Attributes:
        model_digest: SHA-256 of the weights, or its beginning.
        point: Name of the site's operating point that a finding was judged by.
        study_instance_uid: The only study.
        since: The image was assessed at this time or later, in POSIX seconds.
        until: It was assessed before this time.
    """

    model_digest: str = ""
    point: str = ""
    study_instance_uid: str = ""
    since: float = 0.0
    until: float = math.inf

    @property
    def names_results(self) -> bool:
        """True if results of a model or a point are recalled, and not a study whatever was said of it."""
        return bool(self.model_digest or self.point)

    def holds(self, image: ImageAssessment) -> bool:
        """Return True if the result of an image is recalled. A model in shadow said nothing."""
        if not self.since <= image.assessed_at < self.until:
            return False
        return not self.names_results or any(map(self._is_of, image.model_results))

    def _is_of(self, result: ModelResult) -> bool:
        points = {finding.point for finding in result.findings}
        by_point = not self.point or self.point in points
        return by_point and not result.shadow and result.model_digest.startswith(self.model_digest)


class ImageState(StrEnum):
    """State of an image in a recall."""

    STANDS = "stands"  # what was said of it holds, and its bytes are kept
    GONE = "gone"  # what was said of it holds, and its bytes are not kept
    WAITING = "waiting"  # it waits to be scored again
    RENEWED = "renewed"  # it was scored again, or what was said of it was withdrawn


@dataclass(frozen=True)
class RecalledImage:
    """One image: what was said of it, and what became of it."""

    instance: ReceivedInstance
    said: ImageAssessment
    state: ImageState


@dataclass(frozen=True)
class RecalledStudy:
    """One study.

    Attributes:
        images: The recalled results.
        said: The decision before anything was scored again.
        now: The present decision.
        deliveries: Every message about it.
        read: A reader has read the present result.
        corrections: What persons corrected.
    """

    study_instance_uid: str
    images: tuple[RecalledImage, ...]
    said: TriageDecision
    now: TriageDecision
    deliveries: tuple[DeliveryRecord, ...]
    read: bool
    corrections: tuple[Correction, ...]

    def count(self, state: ImageState) -> int:
        """Return the number of images in a state."""
        return sum(each.state is state for each in self.images)


def recalled_studies(spool: Store, scope: RecallScope) -> Iterator[RecalledStudy]:
    """Yield the studies in which something is recalled, by UID. One that cannot be read is logged and left out."""
    uids = [scope.study_instance_uid] if scope.study_instance_uid else sorted(spool.study_uids())
    for uid in uids:
        try:
            found = recalled_study(spool, uid, scope)
        except UNREADABLE as error:
            logger.error("recall: study %s cannot be read (%s): it is left out", uid, cause(error))
            continue
        if found is not None:
            yield found


def recalled_study(spool: Store, uid: str, scope: RecallScope) -> RecalledStudy | None:
    """Return what is recalled in a study; None if nothing is.

    Raises:
        InvalidUIDError: The UID is malformed.
        OSError, ValueError, KeyError, TypeError: The study's records cannot be read.
    """
    record = spool.decision(uid)
    images = recalled_images(spool, uid, scope) if record is not None else []
    if record is None or not images:
        return None
    now = decision_from(record)
    last = leaving_act(acts_of(spool, uid))
    return RecalledStudy(
        study_instance_uid=uid,
        images=tuple(images),
        said=_said(spool, uid, now),
        now=now,
        deliveries=tuple(Outbox(spool).records(uid)),
        read=last is not None and last.revision == now.revision,
        corrections=tuple(corrections_of(spool, uid)),
    )


def recalled_images(spool: Store, uid: str, scope: RecallScope) -> list[RecalledImage]:
    """Return the images of a study of which something is recalled, with what was said of them before the recall."""
    before = [(at, assessment_from(found)) for at, found in recalled_assessments(spool, uid)]
    renewed_at = {_contents(image): at for at, image in before}
    found: dict[Contents, RecalledImage] = {}
    for image in (assessment_from(each) for each in spool.assessments(uid)):
        stands = image.assessed_at <= renewed_at.get(_contents(image), math.inf)
        if stands and scope.holds(image):
            found[_contents(image)] = RecalledImage(_instance(image), image, _state(spool, image))
    for _, image in before:
        if scope.holds(image) and _contents(image) not in found:
            state = ImageState.WAITING if spool.waits(_instance(image)) else ImageState.RENEWED
            found[_contents(image)] = RecalledImage(_instance(image), image, state)
    return list(found.values())


def _said(spool: Store, uid: str, now: TriageDecision) -> TriageDecision:
    first = min((at for at, _ in recalled_assessments(spool, uid)), default=math.inf)
    earlier = [decision_from(each) for each in spool.history(uid)]
    return next((each for each in reversed(earlier) if each.tagged_at <= first), now)


def _state(spool: Store, image: ImageAssessment) -> ImageState:
    instance = _instance(image)
    if spool.waits(instance):
        return ImageState.WAITING
    return ImageState.GONE if spool.stored_object(instance) is None else ImageState.STANDS


def _contents(image: ImageAssessment) -> Contents:
    return image.sop_instance_uid, image.content_digest


def _instance(image: ImageAssessment) -> ReceivedInstance:
    return ReceivedInstance(image.study_instance_uid, *_contents(image))
