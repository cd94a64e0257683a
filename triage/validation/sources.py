"""The source of a validation's predictions: a file of scores, the model on the files, or a running service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from triage.validation.cohort.members import Member
from triage.validation.measures.metrics_record import DicomRecord
from triage.validation.run import Progress, ValidationRequest, counter
from triage.validation.scores.external import GivenFinding, aligned, as_predictions, read_finding_scores
from triage.validation.scores.other_models import read_scores_of, scores_file
from triage.validation.scores.over_dicom import (
    TargetService,
    check_sendable,
    disagreements,
    exclusive_partition,
    service_scorer,
)
from triage.validation.scores.predictions import (
    FILES_ALONE,
    PREDICTIONS,
    Prediction,
    Scoring,
    score_cohort,
    write_predictions,
)


@dataclass(frozen=True)
class Predicted:
    """The predictions of a cohort; ``dicom`` compares a service with the files, None without a service."""

    predictions: Sequence[Prediction]
    dicom: DicomRecord | None = None


class PredictionSource(Protocol):
    """A source of predictions."""

    def check(self, members: Sequence[Member]) -> None:
        """Raise StartError if it cannot predict these images."""

    def predict(self, members: Sequence[Member], scoring: Scoring, out: Path, progress: Progress) -> Predicted:
        """Return the prediction of every member, and write them into the folder ``out``."""


@dataclass(frozen=True)
class GivenScores:
    """Scores from a file or a training run."""

    file: Path

    def check(self, members: Sequence[Member]) -> None:
        """Accept every cohort: its scores are checked with the other files."""

    def predict(self, members: Sequence[Member], scoring: Scoring, out: Path, progress: Progress) -> Predicted:
        """Return the given scores as predictions."""
        point, lead = scoring.policy.findings.operating_point, scoring.card.leading
        values = aligned(read_scores_of(self.file), members, self.file)
        given = [GivenFinding(lead.name, values, lead.threshold if point is None else point)]
        others = read_finding_scores(scores_file(self.file))
        given += [
            GivenFinding(each.name, aligned(others[each.name], members, self.file), each.threshold)
            for each in scoring.card.findings
            if each is not lead and each.name in others
        ]
        predictions = as_predictions(members, given)
        write_predictions(predictions, out / PREDICTIONS)
        return Predicted(predictions)


@dataclass(frozen=True)
class ModelOnFiles:
    """The model, applied to the files in this process and its children."""

    file_name: str = PREDICTIONS

    def check(self, members: Sequence[Member]) -> None:
        """Accept every cohort: an image that cannot be scored is not assessed."""

    def predict(self, members: Sequence[Member], scoring: Scoring, out: Path, progress: Progress) -> Predicted:
        """Score the files."""
        return Predicted(
            score_cohort(members, scoring, out / self.file_name, counter(progress, "scoring", len(members)))
        )


@dataclass(frozen=True)
class RunningService:
    """A running service, reached through its DICOM port, and compared with the model on the files."""

    service: TargetService

    def check(self, members: Sequence[Member]) -> None:
        """Raise ServiceError if the service could not identify or assess an image."""
        check_sendable(members)

    def predict(self, members: Sequence[Member], scoring: Scoring, out: Path, progress: Progress) -> Predicted:
        """Score the files, send them to the service, and compare the results."""
        files_alone = ModelOnFiles(FILES_ALONE).predict(members, scoring, out, progress).predictions
        counting = counter(progress, "through the service", len(members))
        scorer = service_scorer(self.service)
        with exclusive_partition(self.service):
            predictions = score_cohort(
                members, replace(scoring, transport="dicom"), out / PREDICTIONS, counting, scorer
            )
        differing = disagreements(predictions, files_alone)
        return Predicted(predictions, {"images": len(predictions), "disagreements": differing})


def source_of(request: ValidationRequest, service: TargetService | None) -> PredictionSource:
    """Return the source that the request names; ``service`` is needed for ``request.dicom``."""
    if service:
        return RunningService(service)
    return GivenScores(request.scores) if request.scores else ModelOnFiles()
