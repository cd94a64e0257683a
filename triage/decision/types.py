"""The types of a decision: tag, priority, the assessment of an image, the decision of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from triage.decision.identity import PatientMarks
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
    image as it was received, as fractions of its rows and columns; half a cell may be outside. ``seen``: what of that
    image the model saw, in the same way (top, left, bottom, right): less than all where a border is cut off.
    """

    rows: int
    columns: int
    values: str
    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0
    seen: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ImageAssessment:
    """What was found about one received object; written beside it in the spool.

    ``probability`` is the model's plain score in 0..1, kept whenever the model ran, whatever the tag. Times are POSIX
    seconds. ``stages`` maps a stage's name to its duration in seconds. ``order_priority`` is the raw Requested
    Procedure Priority (0040,1003), empty where the object has none. ``acquisition_date`` is YYYYMMDD, or empty.
    ``activation_map`` is there where the site keeps maps; where it cannot be, ``no_map`` says why.
    ``calibrated_probability`` is for the site's ``prevalence``, where it states one; no tag is made of it.
    ``accession_issuer`` is who issued the accession number (``decision.identity.Issuer`` as a text); ``patient`` tells
    patients apart.
    ``ap_share`` is the share of certainty, by the pixels, that an adult's chest was taken AP, and not PA; None where it
    was not asked. ``view_contradicted``: it was certain enough against the stated ``view``. No tag is made of either.
    ``association`` names the one that it came over, in the log.
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
    shadow_scores: tuple[ShadowScore, ...] = ()
    activation_map: ActivationMap | None = None
    no_map: str = ""
    calibrated_probability: float | None = None
    prevalence: float | None = None
    accession_issuer: str = ""
    patient: PatientMarks = field(default_factory=PatientMarks)
    ap_share: float | None = None
    view_contradicted: bool = False
    association: str = ""

    @property
    def counts(self) -> bool:
        """Whether the study's tag has to take this image into account."""
        return not LISTED_NOT_COUNTED.intersection(self.reasons)

    @property
    def projection(self) -> str:
        """What is stated of the projection, and what the pixels look like, for people; empty if not asked."""
        if self.ap_share is None:
            return ""
        looks, certainty = ("AP", self.ap_share) if self.ap_share >= 0.5 else ("PA", 1 - self.ap_share)
        stated = f"stated {self.view}" if self.view in ("PA", "AP") else "PA or AP not stated"
        return f"{stated}; the pixels look {looks} ({math.floor(certainty * 100) / 100:.2f})"


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
    sent the first of its images. ``accession_issuer`` is that of the accession number, as a text. ``sequence`` counts
    the decisions of the study, so that the last is known whatever the clock said; 0: made before there was a count.
    ``silent``: recorded alone: it is neither listed nor delivered.
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
    accession_issuer: str = ""
    sequence: int = 0
    silent: bool = False
