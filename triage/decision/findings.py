"""PURE: findings of an image and of a study."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from triage.decision.urgency import Urgency


class FindingState(StrEnum):
    """State of one finding in a study.

    ABSENT is said only of a finding whose negative means absent, on images that were all assessed for it.
    """

    PRESENT = "present"
    ABSENT = "absent"
    UNDETERMINED = "undetermined"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class FindingCode:
    """Code of a finding: Code Value, Coding Scheme Designator and Code Meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class FindingScore:
    """Score of one finding on one image.

    Attributes:
        name: Name of the finding in the model's card.
        title: Its name for people.
        code: Its code; None if the card has none.
        probability: The plain score, 0 to 1.
        threshold: The score from which it is positive.
        positive: The score reaches the threshold.
        counts: A positive makes the study ABNORMAL.
        negative_means_absent: A negative means that the finding is absent.
        point: Name of the site's operating point that gave the threshold; empty for the card's own.
        calibrated_probability: Probability at the site's prevalence, where it states one.
    """

    name: str
    title: str
    code: FindingCode | None
    probability: float
    threshold: float
    positive: bool
    counts: bool = True
    negative_means_absent: bool = False
    point: str = ""
    calibrated_probability: float | None = None


@dataclass(frozen=True)
class StudyFinding:
    """One finding of a study, over its current images.

    Attributes:
        name: Name of the finding in the model's card.
        title: Its name for people.
        code: Its code; None if the card has none.
        state: Present, absent, undetermined, or not assessed.
        probability: The highest score of an assessed image; None if none was assessed.
        threshold: The operating point of that image.
        counts: A positive makes the study ABNORMAL.
        urgency: Of a present finding by the site's table; else NORMAL (absent or undetermined) or NOT_ASSESSED.
        model_id: Model that gave the score.
        point: Name of the site's operating point; empty for the card's own.
        images: SOP Instance UIDs (0008,0018) of the images on which it is positive.
    """

    name: str
    title: str
    code: FindingCode | None
    state: FindingState
    probability: float | None
    threshold: float | None
    counts: bool
    urgency: Urgency
    model_id: str
    point: str = ""
    images: tuple[str, ...] = ()
