"""The types of a decision: tag, priority, the assessment of an image, the decision of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from triage.decision.identity import PatientMarks
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason


class Tag(StrEnum):
    """The tag of an image or a study. NORMAL requires positive evidence."""

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
    """The result of a shadow model for an image that another model scored: recorded, and used by no decision.

    ``probability`` is None if it failed. ``seconds`` is the duration.
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
    """The class activation map of a score (Zhou et al. 2016), from the same run of the model.

    The mean of the values is the logit, up to a constant of the model. ``values``: float32 little-endian, ``rows`` x
    ``columns``, in base64. ``top``, ``left``, ``bottom`` and ``right``: the edges of the cells in the received image,
    as fractions of its rows and columns; half a cell may be outside. ``seen``: the edges (top, left, bottom, right) of
    the part that the model saw: less than the image where a border was cut off.
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
    """The assessment of one received object; the spool stores it with the object.

    ``probability`` is the model's plain score in 0..1, kept whenever the model ran, whatever the tag. Times are POSIX
    seconds. ``stages`` maps a stage's name to its duration in seconds. ``order_priority`` is the raw Requested
    Procedure Priority (0040,1003), empty where the object has none. ``acquisition_date`` is YYYYMMDD, or empty.
    ``activation_map`` is set where the site stores maps; ``no_map`` is the reason if there is none.
    ``calibrated_probability`` is for the site's ``prevalence``, where it states one; no tag depends on it.
    ``accession_issuer`` is the issuer of the accession number (``decision.identity.Issuer`` as a text); ``patient`` has
    the digests that patients are compared by.
    ``ap_share`` is the certainty, by the pixels, that an adult's chest was taken AP and not PA; None where it was not
    computed. ``view_contradicted``: it contradicts the stated ``view``. No tag depends on either.
    ``association`` is the name, in the log, of the association that the object came over.
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
        """True if the study's tag depends on this image."""
        return not LISTED_NOT_COUNTED.intersection(self.reasons)

    @property
    def projection(self) -> str:
        """The stated projection and the one by the pixels, as a text for people; empty if not computed."""
        if self.ap_share is None:
            return ""
        looks, certainty = ("AP", self.ap_share) if self.ap_share >= 0.5 else ("PA", 1 - self.ap_share)
        stated = f"stated {self.view}" if self.view in ("PA", "AP") else "PA or AP not stated"
        return f"{stated}; the pixels look {looks} ({math.floor(certainty * 100) / 100:.2f})"


@dataclass(frozen=True)
class PriorityPolicy:
    """A site's rules from a tag to a priority.

    ``baseline`` is the priority of an order that carries none; ``lower_normal`` lets NORMAL go to LOW. A study whose
    images were all taken more than ``prior_after_days`` before they came is a prior, and raises nothing; 0: none is.
    """

    baseline: Priority = Priority.MEDIUM
    lower_normal: bool = False
    prior_after_days: float = 0.0


@dataclass(frozen=True)
class TriageDecision:
    """The current result of a study. ``evidence`` has the SOP Instance UIDs that the tag is based on.

    ``prior``: taken long before it came, so that it is not urgent and raises nothing. ``calling_ae_title`` is that of
    the sender of its first image. ``accession_issuer`` is the issuer of the accession number, as a text. ``sequence``
    counts the decisions of the study, so that the last is known whatever the clock; 0: made before there was a count.
    ``silent``: recorded only, and neither listed nor delivered.
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
