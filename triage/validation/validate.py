"""One validation: from a manifest and a model folder to metrics.json, report.html and a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence

from triage.model.card import load_card
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute
from triage.validation.certify import certify, check_choice
from triage.validation.cohort.members import ValidationCohort, read_training_lists
from triage.validation.inputs import check_files, read_cohort
from triage.validation.measures import bars
from triage.validation.measures.cohort_record import ChosenThreshold, Draws, operating_points
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

    required = bars.parse_all(request.require, scores_given=request.scores is not None)
    check_files(request)
    folder = request.model.resolve()
    scoring = Scoring(folder, load_card(folder), policy, compute, request.any_age)
    trained = read_training_lists(folder, scoring.card)
    cohort = read_cohort(request, trained, progress)
    choice = check_choice(request, scoring.card, cohort, trained)
    source = source_of(request, service)
    source.check(cohort.members)
    request.out.mkdir(parents=True, exist_ok=True)
    predicted = source.predict(cohort.members, scoring, request.out, progress)
    run = _run(request, scoring, cohort, predicted.predictions)
    maps = ActivationMaps(folder, scoring.card, compute.threads, compute.load_timeout_s)
    metrics = measure(run, Evidence(trained, maps, predicted.dicom, required), progress)
    (request.out / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_report(run, metrics, request.out / REPORT, maps)
    choices = tuple(certify(choice, run, progress)) if choice else ()
    return ValidationResult(metrics, metrics["passed"], choices)


def _run(
    request: ValidationRequest, scoring: Scoring, cohort: ValidationCohort, predictions: Sequence[Prediction]
) -> ValidationRun:
    images = scored_images(predictions, cohort.members)
    points = _points(scoring, predictions)
    draws = Draws(request.rounds, request.seed)
    return ValidationRun(request, scoring, cohort, predictions, images, per_image(images), points, draws)


def _points(scoring: Scoring, predictions: Sequence[Prediction]) -> tuple[ChosenThreshold, ...]:
    """Return the points to measure; the first is the site's, where all images were judged by one threshold of it."""
    card, of_settings = scoring.card, scoring.policy.findings.operating_point
    known = {score.threshold for each in predictions if (score := each.score_of(card.leading.name))}
    if scoring.policy.findings.points.points and len(known) == 1:
        return operating_points(card, known.pop(), "models.operating_points of the settings")
    return operating_points(card, of_settings)
