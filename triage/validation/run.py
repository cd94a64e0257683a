"""One validation run: the request, its folder and its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triage.model.card import ModelCard
from triage.validation.cohort.members import ValidationCohort
from triage.validation.measures.cohort_record import ChosenThreshold, Draws
from triage.validation.scores.predictions import Prediction
from triage.validation.scores.scored import ScoredCohort, ScoredImage

SCHEMA = 1


METRICS, REPORT, PREDICTIONS = "metrics.json", "report.html", "predictions.csv"


FILES_ALONE = "predictions-of-the-files.csv"
"""Beside the service's predictions, where both ways are taken."""


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many more are done, and of how many."""


@dataclass(frozen=True)
class ValidationRequest:
    """What is to be validated, on what, and how; see ``triage validate --help``."""

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


@dataclass(frozen=True)
class ValidationResult:
    """What came out: the record of metrics.json, and whether everything that was asked for holds."""

    metrics: Mapping[str, Any]
    passed: bool


@dataclass(frozen=True, eq=False)
class ValidationRun:
    """Everything that the parts of a validation look at."""

    request: ValidationRequest
    card: ModelCard
    cohort: ValidationCohort
    predictions: Sequence[Prediction]
    images: Sequence[ScoredImage]
    scored: ScoredCohort
    points: tuple[ChosenThreshold, ...]
    draws: Draws
