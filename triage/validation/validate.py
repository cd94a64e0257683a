"""One validation: from a manifest and a model folder to metrics.json, report.html and a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence

from triage.model.card import load_card
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute
from triage.validation.cohort.members import ValidationCohort, read_training_lists
from triage.validation.inputs import check_files, read_cohort
from triage.validation.measures import bars
from triage.validation.measures.cohort_record import Draws, operating_points
from triage.validation.metrics import Evidence, measure
from triage.validation.run import METRICS, REPORT, Progress, ValidationRequest, ValidationResult, ValidationRun
from triage.validation.scores.activation_maps import ActivationMaps
from triage.validation.scores.over_dicom import TargetService
from triage.validation.scores.predictions import Prediction, Scoring, scored_images
from triage.validation.scores.scored import per_image
from triage.validation.sources import source_of


def validate(
    request: ValidationRequest,
    policy: AssessmentPolicy,
    compute: Compute,
    progress: Progress,
    service: TargetService | None = None,
) -> ValidationResult:
    """Validate a model, and write the results into the folder ``request.out``.

    With ``request.dicom`` the images are also sent through the DICOM port of ``service``; passing then needs the same
    results from the service and from the files alone, for every image.

    Raises:
        StartError: with what to correct in the model, the manifest, the bars or the files of scores; before any image
            is scored.
    """
    from triage.validation.report.report import write_report

    required = [bars.parse(text) for text in request.require]
    check_files(request)
    folder = request.model.resolve()
    scoring = Scoring(folder, load_card(folder), policy, compute, request.any_age)
    trained = read_training_lists(folder, scoring.card)
    cohort = read_cohort(request, trained, progress)
    source = source_of(request, service)
    source.check(cohort.members)
    request.out.mkdir(parents=True, exist_ok=True)
    predicted = source.predict(cohort.members, scoring, request.out, progress)
    run = _run(request, scoring, cohort, predicted.predictions)
    maps = ActivationMaps(folder, scoring.card, compute.threads, compute.load_timeout_s)
    metrics = measure(run, Evidence(trained, maps, predicted.dicom, required), progress)
    (request.out / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_report(run, metrics, request.out / REPORT, maps)
    return ValidationResult(metrics, metrics["passed"])


def _run(
    request: ValidationRequest, scoring: Scoring, cohort: ValidationCohort, predictions: Sequence[Prediction]
) -> ValidationRun:
    images = scored_images(predictions, cohort.members)
    points = operating_points(scoring.card, scoring.policy.findings.operating_point)
    draws = Draws(request.rounds, request.seed)
    return ValidationRun(request, scoring, cohort, predictions, images, per_image(images), points, draws)
