"""The types of a decision: tag, priority, the assessment of an image, the decision of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from triage.decision.findings import FindingScore, StudyFinding
from triage.decision.identity import PatientMarks
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.decision.rejection_note import RejectionNote
from triage.decision.urgency import OF_POSITIVES, Urgency, UrgencyTable


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


URGENCY_OF_TAG = {
    Tag.ABNORMAL: Urgency.URGENT,
    Tag.NORMAL: Urgency.NORMAL,
    Tag.NOT_ASSESSED: Urgency.NOT_ASSESSED,
}
"""The urgency that a tag alone implies: of decisions recorded before there were urgencies."""

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
    distance_limit: float | None
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


_STILL_A_SCORE = frozenset({Reason.FINDING_NOT_COVERED, Reason.FINDING_CONTRADICTS, Reason.PLUGIN_ALONE})
"""Reasons of a model's NOT_ASSESSED whose scores are valid all the same."""


@dataclass(frozen=True)
class ModelResult:
    """The result of one model for one image.

    Attributes:
        model_id: Name and version of the model.
        model_digest: SHA-256 of its weights.
        tag: The image's tag by this model alone.
        probability: The plain score of the finding that leads the card, 0 to 1; None if the model did not run.
        findings: Every finding of the card, empty if the model did not run.
        reasons: Reasons of the tag.
        detail: The same for people.
        distance: Distance from the training images; None if it is not finite.
        distance_limit: The limit of the card.
        operating_point: The threshold of the leading finding.
        shadow: The model is in shadow.
    """

    model_id: str
    model_digest: str
    tag: Tag
    probability: float | None
    findings: tuple[FindingScore, ...] = ()
    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    distance: float | None = None
    distance_limit: float | None = None
    operating_point: float | None = None
    calibrated_probability: float | None = None
    prevalence: float | None = None
    shadow: bool = False

    @property
    def assessed(self) -> bool:
        """True if the scores are valid: the image was one for this model."""
        return self.tag is not Tag.NOT_ASSESSED or (bool(self.reasons) and set(self.reasons) <= _STILL_A_SCORE)


@dataclass(frozen=True)
class ImageAssessment:
    """The assessment of one received object; the spool stores it with the object.

    ``results``: one for each model that this patient requires; empty in records of releases before findings and for an
    image that was rejected before any model. The fields of a model at the top level (``probability``, ``model_id`` and
    others) are those of the result that gave the tag.

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
    ``rejection`` is the content of a rejection note, None of every other object. ``rejected`` is the code of the title
    by which a note rejects this image; it is not stored: notes and images come in any order (``decision.rejection``).
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
    results: tuple[ModelResult, ...] = ()
    rejection: RejectionNote | None = None
    rejected: str = ""

    @property
    def model_results(self) -> tuple[ModelResult, ...]:
        """``results``; of an older record the one that its fields describe, without findings."""
        if self.results or self.model_id is None:
            return self.results
        return (
            ModelResult(
                model_id=self.model_id,
                model_digest=self.model_digest or "",
                tag=self.tag,
                probability=self.probability,
                reasons=self.reasons,
                detail=self.detail,
                distance=self.distance,
                distance_limit=self.distance_limit,
                operating_point=self.operating_point,
                calibrated_probability=self.calibrated_probability,
                prevalence=self.prevalence,
                shadow=self.shadow,
            ),
        )

    @property
    def findings(self) -> tuple[FindingScore, ...]:
        """The findings of all models, empty in records of releases before findings."""
        return tuple(finding for result in self.results for finding in result.findings)

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
    """A site's rules from findings to a priority.

    ``urgencies``: the urgency of each finding. ``baseline`` is the priority of an order that carries none;
    ``lower_normal`` lets NORMAL go to LOW. A study whose
    images were all taken more than ``prior_after_days`` before they came is a prior, and raises nothing; 0: none is.
    """

    baseline: Priority = Priority.MEDIUM
    lower_normal: bool = False
    prior_after_days: float = 0.0
    urgencies: UrgencyTable = field(default_factory=UrgencyTable)


@dataclass(frozen=True)
class TriageDecision:
    """The current result of a study. ``evidence`` has the SOP Instance UIDs that the tag is based on.

    ``prior``: taken long before it came, so that it is not urgent and raises nothing. ``calling_ae_title`` is that of
    the sender of its first image. ``accession_issuer`` is the issuer of the accession number, as a text. ``sequence``
    counts the decisions of the study, so that the last is known whatever the clock; 0: made before there was a count.
    ``silent``: recorded only, and neither listed nor delivered.
    ``urgency`` is that of the findings; ``priority`` is the reading priority: the higher of the order's own
    (``order_priority``) and of what the urgency raises. ``findings`` is empty in records of releases before findings.
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
    urgency: Urgency = Urgency.NOT_ASSESSED
    findings: tuple[StudyFinding, ...] = ()
    order_priority: Priority | None = None

    def __post_init__(self) -> None:
        """Let the urgency follow the tag where none that fits it was given: in records before there were urgencies."""
        if self.tag is not Tag.ABNORMAL or self.urgency not in OF_POSITIVES:
            object.__setattr__(self, "urgency", URGENCY_OF_TAG[self.tag])

    @property
    def raised(self) -> bool:
        """True if the study goes to the top of the list: of an urgency that raises, and no prior."""
        return self.urgency.raises and not self.prior
