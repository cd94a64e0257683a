"""The service's result for one image of a cohort."""

from __future__ import annotations

from dataclasses import dataclass

from triage.decision.reasons import LISTED_NOT_COUNTED, Reason

_STILL_A_SCORE = frozenset(
    {Reason.FINDING_NOT_COVERED, Reason.FINDING_CONTRADICTS, Reason.NO_DISTRIBUTION, Reason.PLUGIN_ALONE}
)
"""Reasons why a negative may not be called normal, though the scores are valid."""


@dataclass(frozen=True)
class FoundScore:
    """The score of one finding on one image, and the threshold that was in force for it."""

    name: str
    probability: float
    threshold: float

    @property
    def positive(self) -> bool:
        """True if the score reaches the threshold."""
        return self.probability >= self.threshold

    def __str__(self) -> str:
        return f"{self.name}={self.probability!r}@{self.threshold!r}"

    @classmethod
    def from_text(cls, text: str) -> FoundScore:
        """Return the score in a text as ``str`` writes it. Raises ValueError."""
        name, _, numbers = text.partition("=")
        probability, _, threshold = numbers.partition("@")
        return cls(name, float(probability), float(threshold))


@dataclass(frozen=True)
class Prediction:
    """The service's result for one image. ``reasons`` are values of ``Reason``; ``findings`` those of the card."""

    image: str
    digest: str
    key: str
    label: int
    study: str
    tag: str
    probability: float | None
    reasons: tuple[str, ...]
    view: str
    age_years: float | None
    distance: float | None
    station: str = ""
    findings: tuple[FoundScore, ...] = ()

    @property
    def assessed(self) -> bool:
        """True if the model's score is valid; also for a negative that may not be called normal."""
        return self.probability is not None and set(self.reasons) <= _STILL_A_SCORE

    def score_of(self, finding: str) -> FoundScore | None:
        """Return the score of a finding; None if it was not assessed."""
        if not self.assessed:
            return None
        return next((each for each in self.findings if each.name == finding), None)

    @property
    def counts(self) -> bool:
        """True if the result of its study depends on it."""
        return not LISTED_NOT_COUNTED.intersection(self.reasons)
