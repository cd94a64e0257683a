"""PURE: what the images of one study say together, as a tag and a priority."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from triage.decision.reasons import LISTED_NOT_COUNTED, Reason


class Tag(StrEnum):
    """What we say of an image or a study. NORMAL is said only on positive evidence."""

    ABNORMAL = "ABNORMAL"
    NORMAL = "NORMAL"
    NOT_ASSESSED = "NOT_ASSESSED"


class Priority(StrEnum):
    """Scheduled Procedure Step Priority (0074,1200): the three values of the Unified Procedure Step."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


READING_RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}

REQUESTED_PROCEDURE_PRIORITY = {
    "STAT": Priority.HIGH,
    "HIGH": Priority.HIGH,
    "ROUTINE": Priority.MEDIUM,
    "MEDIUM": Priority.MEDIUM,
    "LOW": Priority.LOW,
}
"""Requested Procedure Priority (0040,1003) to UPS priority."""


@dataclass(frozen=True)
class ShadowScore:
    """What a model in shadow made of an image that another one scored: recorded, and looked at by nothing that decides.

    ``probability`` is None if it failed. ``seconds`` is how long it took.
    """

    model_id: str
    model_digest: str
    tag: Tag
    probability: float | None
    reasons: tuple[Reason, ...]
    distance: float | None
    distance_limit: float
    seconds: float


@dataclass(frozen=True)
class ActivationMap:
    """What drew a score to where it is, cell by cell (Zhou et al. 2016): the mean of the values is the logit, but for a
    constant of the model's. It came out of the very run that gave the probability beside it.

    ``values``: float32 little-endian, ``rows`` x ``columns``, in base64. The edges say what the cells cover of the
    image as it was received, as fractions of its rows and columns; half a cell may be outside.
    """

    rows: int
    columns: int
    values: str
    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0


@dataclass(frozen=True)
class ImageAssessment:
    """What was found about one received object; written beside it in the spool.

    ``probability`` is the model's plain score in 0..1, kept whenever the model ran, whatever the tag. Times are POSIX
    seconds. ``stages`` maps a stage's name to its duration in seconds. ``order_priority`` is the raw Requested
    Procedure Priority (0040,1003), empty where the object has none. ``acquisition_date`` is YYYYMMDD, or empty.
    ``activation_map`` is there where the site keeps maps; where it cannot be, ``no_map`` says why.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    content_digest: str
    sop_class_uid: str
    accession_number: str
    modality: str
    view: str
    calling_ae_title: str
    received_at: float
    assessed_at: float
    tag: Tag
    probability: float | None
    reasons: tuple[Reason, ...]
    model_id: str | None
    model_digest: str | None = None
    operating_point: float | None = None
    distance: float | None = None
    distance_limit: float | None = None
    age_years: float | None = None
    order_priority: str = ""
    shadow: bool = False
    detail: str = ""
    stages: dict[str, float] | None = None
    acquisition_date: str = ""
    beside: tuple[ShadowScore, ...] = ()
    activation_map: ActivationMap | None = None
    no_map: str = ""

    @property
    def counts(self) -> bool:
        """Whether the study's tag has to take this image into account."""
        return not LISTED_NOT_COUNTED.intersection(self.reasons)


@dataclass(frozen=True)
class PriorityPolicy:
    """How a site turns a tag into a priority.

    ``baseline`` is the priority of an order that carries none; ``lower_normal`` lets NORMAL go to LOW. A study whose
    images were all taken more than ``prior_after_days`` before they came is a prior, and raises nothing; 0: none is.
    """

    baseline: Priority = Priority.MEDIUM
    lower_normal: bool = False
    prior_after_days: float = 0.0


@dataclass(frozen=True)
class TriageDecision:
    """The one current result of a study. ``evidence`` are the SOP Instance UIDs that made the tag.

    ``prior``: taken long before it came, so that nobody waits for it and it raises nothing. ``calling_ae_title`` is who
    sent the first of its images.
    """

    study_instance_uid: str
    accession_number: str
    tag: Tag
    probability: float | None
    priority: Priority
    reasons: tuple[Reason, ...]
    model_id: str | None
    evidence: tuple[str, ...]
    received_at: float
    tagged_at: float
    revision: str
    prior: bool = False
    calling_ae_title: str = ""


def decide(assessments: Sequence[ImageAssessment], policy: PriorityPolicy, now: float) -> TriageDecision:
    """The study's decision from all its assessments (at least one), in any order.

    ABNORMAL if any image is; else NOT_ASSESSED if an image that should have been scored was not; else NORMAL if at
    least one frontal was normal; else NOT_ASSESSED. ``now`` becomes ``tagged_at``, in POSIX seconds.
    """
    current = current_assessments(assessments)
    in_service = [image for image in current if image.counts and not image.shadow]
    shadowed = [image for image in current if image.counts and image.shadow]
    tag, evidence, reasons = _tag(in_service, bool(shadowed))
    first = min(assessments, key=lambda image: image.received_at)
    scores = [image for image in evidence if image.probability is not None]
    highest = max(scores, key=lambda image: image.probability or 0.0, default=None)
    prior = is_prior(current, policy.prior_after_days)
    order = order_priority(current, policy.baseline)
    return TriageDecision(
        study_instance_uid=first.study_instance_uid,
        accession_number=next((image.accession_number for image in current if image.accession_number), ""),
        tag=tag,
        probability=highest.probability if highest else None,
        priority=order if prior else priority_of(tag, order, policy),
        reasons=reasons,
        model_id=highest.model_id if highest else next((i.model_id for i in evidence if i.model_id), None),
        evidence=tuple(sorted({image.sop_instance_uid for image in evidence})),
        received_at=first.received_at,
        tagged_at=now,
        revision=revision(current, policy),
        prior=prior,
        calling_ae_title=first.calling_ae_title,
    )


def current_assessments(assessments: Iterable[ImageAssessment]) -> list[ImageAssessment]:
    """Of several contents under one SOP Instance UID the last received, and every earlier one that was abnormal.

    A corrected image replaces a broken one, but different pixels under a known UID never lower a study silently.
    """
    last: dict[str, ImageAssessment] = {}
    ordered = sorted(assessments, key=lambda image: (image.received_at, image.content_digest))
    for image in ordered:
        last[image.sop_instance_uid] = image
    return [i for i in ordered if last[i.sop_instance_uid] is i or (i.tag is Tag.ABNORMAL and not i.shadow)]


def _tag(
    in_service: Sequence[ImageAssessment], any_shadowed: bool
) -> tuple[Tag, Sequence[ImageAssessment], tuple[Reason, ...]]:
    for tag in (Tag.ABNORMAL, Tag.NOT_ASSESSED):
        having = [image for image in in_service if image.tag is tag]
        if having:
            return tag, having, _reasons(having)
    if any_shadowed:
        return Tag.NOT_ASSESSED, (), (Reason.MODEL_SHADOW,)
    if in_service:
        return Tag.NORMAL, in_service, ()
    return Tag.NOT_ASSESSED, (), (Reason.NO_FRONTAL_IMAGE,)


def _reasons(images: Iterable[ImageAssessment]) -> tuple[Reason, ...]:
    return tuple(sorted({reason for image in images for reason in image.reasons}))


def order_priority(assessments: Iterable[ImageAssessment], baseline: Priority) -> Priority:
    """The order's own priority: the highest that its images carry in (0040,1003), else ``baseline``."""
    known = [
        REQUESTED_PROCEDURE_PRIORITY[image.order_priority]
        for image in assessments
        if image.order_priority in REQUESTED_PROCEDURE_PRIORITY
    ]
    return min(known, key=READING_RANK.__getitem__, default=baseline)


def priority_of(tag: Tag, order: Priority, policy: PriorityPolicy) -> Priority:
    """ABNORMAL raises to HIGH; NORMAL may go to LOW where the site says so; everything else keeps the order's."""
    if tag is Tag.ABNORMAL:
        return Priority.HIGH
    if tag is Tag.NORMAL and policy.lower_normal and order is not Priority.HIGH:
        return Priority.LOW
    return order


def is_prior(assessments: Sequence[ImageAssessment], after_days: float) -> bool:
    """Whether every image was taken more than ``after_days`` before it came. An image without a date was not.

    What is only listed does not count: our own report comes back with the date of its making.
    A day is granted for time zones: dates in DICOM are the modality's local ones.
    """
    images = [image for image in assessments if image.counts]
    return bool(after_days and images) and all(
        is_old(image.acquisition_date, image.received_at, after_days) for image in images
    )


def is_old(acquisition_date: str, received_at: float, after_days: float) -> bool:
    """Whether what was taken on a date (YYYYMMDD) came (POSIX seconds) more than ``after_days`` later."""
    try:
        taken = datetime.strptime(acquisition_date, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return datetime.fromtimestamp(received_at, UTC) - taken > timedelta(days=after_days + 1)


def revision(assessments: Iterable[ImageAssessment], policy: PriorityPolicy) -> str:
    """A digest of what the decision rests on; the same inputs give the same revision."""
    parts = sorted(
        "|".join(
            (
                image.sop_instance_uid,
                image.content_digest,
                image.model_digest or "",
                repr(image.operating_point),
                str(image.shadow),
                image.tag,
            )
        )
        for image in assessments
    )
    settings = (policy.baseline, str(policy.lower_normal), repr(policy.prior_after_days))
    return sha256("\n".join([*parts, *settings]).encode()).hexdigest()
