"""The files that a validation reads: all are checked before the first image is scored."""

from __future__ import annotations

from collections.abc import Sequence

from triage.validation.cohort.members import (
    TrainingLists,
    ValidationCohort,
    exclude_training_patients,
    open_cohort,
)
from triage.validation.run import Progress, ValidationRequest
from triage.validation.scores.activation_maps import read_boxes
from triage.validation.scores.external import aligned, read_finding_readers, read_readers, read_scores
from triage.validation.scores.other_models import (
    check_usable,
    design_of,
    is_model,
    name_of,
    read_scores_of,
    scores_file,
)
from triage.validation.scores.predictions import PredictionsError


def check_files(request: ValidationRequest) -> None:
    """Raise StartError for a file that cannot be used."""
    given = (request.scores,) if request.scores else ()
    for path in (*given, *request.replicates, *request.versus_replicates):
        read_scores(scores_file(path))
    for path in request.versus:
        check_usable(path)
        design_of(path)
    _check_names([name_of(path) for path in request.versus])
    for path in request.readers:
        read_readers(path)
        read_finding_readers(path)
    if request.boxes:
        read_boxes(request.boxes)


def read_cohort(request: ValidationRequest, trained: TrainingLists, progress: Progress) -> ValidationCohort:
    """Open the cohort of the request, and check that all files of scores and calls belong to it. Raises StartError."""
    cohort = open_cohort(
        request.manifest,
        split=request.split,
        allow_duplicates=request.allow_duplicates,
        progress=lambda done, total: progress("reading", done, total),
    )
    if request.exclude_training_patients:
        cohort = exclude_training_patients(cohort, trained)
    _check_same_cohort(request, cohort)
    return cohort


def _check_same_cohort(request: ValidationRequest, cohort: ValidationCohort) -> None:
    files = [path for path in request.versus if not is_model(path)]
    given = (request.scores,) if request.scores else ()
    for path in (*given, *files, *request.replicates, *request.versus_replicates):
        aligned(read_scores_of(path), cohort.members, path)
    for path in request.readers:
        for readers in ({"": read_readers(path)} | read_finding_readers(path)).values():
            for name, calls in readers.items():
                aligned(calls, cohort.members, path.with_name(f"{path.name}, reader {name}"))


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PredictionsError(f"--versus names {', '.join(twice)} twice: give models of different names")
