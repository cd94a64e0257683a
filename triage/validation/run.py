"""One validation run: the request, its data and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triage.model.card import ModelCard
from triage.model.points_file import PointsFile
from triage.validation.choosing.choose import StratumChoice
from triage.validation.cohort.members import ValidationCohort
from triage.validation.measures.cohort_record import ChosenThreshold, Draws
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.scores.predictions import Prediction, Scoring
from triage.validation.scores.scored import CohortImage, ScoredCohort

SCHEMA = 2
METRICS, REPORT = "metrics.json", "report.html"

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the number of items done since the last call, and the total."""


@dataclass(frozen=True)
class ChoiceRequest:
    """The options of ``triage validate --choose``. ``finding`` empty: the leading one; ``who`` chooses."""

    rule: str
    finding: str = ""
    by: tuple[str, ...] = ()
    check_cohort: Path | None = None
    reason: str = ""
    who: str = ""


@dataclass(frozen=True)
class ValidationRequest:
    """The options of ``triage validate``; see ``triage validate --help``."""

    model: Path
    manifest: Path
    out: Path
    split: str = ""
    require: tuple[str, ...] = ()
    prevalence: float | None = None
    versus: tuple[Path, ...] = ()
    readers: tuple[Path, ...] = ()
    replicates: tuple[Path, ...] = ()
    versus_replicates: tuple[Path, ...] = ()
    scores: Path | None = None
    boxes: Path | None = None
    paper: str | None = None
    images: bool = True
    exclude_training_patients: bool = False
    any_age: bool = False
    allow_duplicates: bool = False
    dicom: bool = False
    rounds: int = 2000
    seed: int = 0
    choice: ChoiceRequest | None = None
    site_points: PointsFile = field(default_factory=PointsFile)


@dataclass(frozen=True)
class ValidationResult:
    """The record of metrics.json, whether every requirement holds, and the operating points that were chosen."""

    metrics: MetricsRecord
    passed: bool
    choices: tuple[StratumChoice, ...] = ()


@dataclass(frozen=True, eq=False)
class ValidationRun:
    """The data of a run that all measurements share."""

    request: ValidationRequest
    scoring: Scoring
    cohort: ValidationCohort
    predictions: Sequence[Prediction]
    images: Sequence[CohortImage]
    scored: ScoredCohort
    points: tuple[ChosenThreshold, ...]
    draws: Draws

    @property
    def card(self) -> ModelCard:
        """The card of the model."""
        return self.scoring.card


def counter(progress: Progress, step: str, total: int) -> Callable[[int], None]:
    """Return a function that reports a number of further items of ``step``."""
    return lambda done: progress(step, done, total)
