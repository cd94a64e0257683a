"""One validation from manifest and model folder to metrics.json, report.html and a yes or no."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from triage.model.card import ModelCard, load_card
from triage.model.session import MAP
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute
from triage.statistics.intervals import auc
from triage.validation.cohort import members as cohort
from triage.validation.cohort.members import Overlap, Trained, ValidationCohort
from triage.validation.measures import bars, paper
from triage.validation.measures.cohort_record import (
    Draws,
    MeasureOptions,
    coverage_reasons,
    measured,
    over_folds,
    points_of,
)
from triage.validation.measures.figures import METHODS
from triage.validation.measures.subgroups import columns_of, shortcuts, subgroups
from triage.validation.measures.versus import reader_point, replicates, versus
from triage.validation.report.cautions import warnings_of
from triage.validation.run import (
    FILES_ALONE,
    METRICS,
    PREDICTIONS,
    REPORT,
    SCHEMA,
    Progress,
    ValidationRequest,
    ValidationResult,
    ValidationRun,
)
from triage.validation.scores import activation_maps as maps
from triage.validation.scores import external, over_dicom, predictions
from triage.validation.scores import other_models as others
from triage.validation.scores.over_dicom import TargetService
from triage.validation.scores.predictions import Prediction, Scoring
from triage.validation.scores.scored import ScoredImage, per_image


def validate(
    request: ValidationRequest,
    policy: AssessmentPolicy,
    compute: Compute,
    progress: Progress,
    service: TargetService | None = None,
) -> ValidationResult:
    """Validate, and write what came out below ``request.out``.

    With ``request.dicom`` the images go through the DICOM port of ``service``, and beside it through the files alone:
    passing needs both to agree on every image.

    Raises StartError (of model, manifest, bars, files of scores) before anything is scored, with what to put right.
    """
    from triage.validation.report.report import write_report

    wanted = [bars.parse(text) for text in request.require]
    _look_at_files(request)
    folder = request.model.resolve()
    card = load_card(folder)
    opened = cohort.open_cohort(
        request.manifest,
        split=request.split,
        allow_duplicates=request.allow_duplicates,
        progress=lambda more, total: progress("reading", more, total),
    )
    trained = cohort.trained_on(folder, card)
    if request.exclude_training_patients:
        opened = cohort.without(opened, trained)
    _check_others(request, opened)
    if service:
        over_dicom.check_sendable(opened.members)
    request.out.mkdir(parents=True, exist_ok=True)
    scoring = Scoring(folder, card, policy, compute, request.any_age)
    found = _predictions(request, opened, scoring, progress)
    model_maps = maps.Maps(folder, card, compute.threads, compute.load_timeout_s)
    both_ways = None
    if service:
        alone, found = found, _through_service(request, opened, scoring, service, progress)
        both_ways = {"images": len(found), "disagreements": over_dicom.disagreements(found, alone)}
    run = _run(request, card, opened, found, policy.operating_point)
    metrics = _metrics(run, trained, _compared(run, policy, compute, progress))
    metrics["dicom"] = both_ways
    metrics["pointing_game"] = _pointing_game(run, model_maps)
    held = [bars.hold(bar, metrics) for bar in wanted]
    metrics["bars"] = [{"bar": each.bar.text, "bound": each.bound, "holds": each.holds} for each in held]
    metrics["warnings"] = warnings_of(metrics, card)
    passed = all(each.holds for each in held) and (request.paper is None or metrics["paper"]["passes"])
    passed = passed and not (both_ways and both_ways["disagreements"])
    metrics["passed"] = passed
    (request.out / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_report(run, metrics, request.out / REPORT, model_maps)
    return ValidationResult(metrics, passed)


def _look_at_files(request: ValidationRequest) -> None:
    """Raise for a file that cannot be used now, and not after an hour of scoring."""
    given = (request.scores,) if request.scores else ()
    for path in (*given, *request.replicates, *request.versus_replicates):
        external.read_scores(others.scores_file(path))
    for path in request.versus:
        others.check(path)
        others.design_of(path)
    _check_names([others.name_of(path) for path in request.versus])
    for path in request.readers:
        external.read_readers(path)
    if request.boxes:
        maps.read_boxes(request.boxes)


def _check_others(request: ValidationRequest, opened: ValidationCohort) -> None:
    """Raise for a file of scores or calls that is of another cohort."""
    files = [path for path in request.versus if not others.is_model(path)]
    given = (request.scores,) if request.scores else ()
    for path in (*given, *files, *request.replicates, *request.versus_replicates):
        external.aligned(_read(path), opened.members, path)
    for path in request.readers:
        for name, calls in external.read_readers(path).items():
            external.aligned(calls, opened.members, path.with_name(f"{path.name}, reader {name}"))


def _predictions(
    request: ValidationRequest, opened: ValidationCohort, scoring: Scoring, progress: Progress
) -> list[Prediction]:
    if request.scores:
        values = external.aligned(_read(request.scores), opened.members, request.scores)
        found = external.as_predictions(values, opened.members, scoring.policy.operating_point)
        predictions.write(found, request.out / PREDICTIONS)
        return found
    file = request.out / (FILES_ALONE if request.dicom else PREDICTIONS)
    return predictions.score(opened.members, scoring, file, _adding(progress, "scoring", len(opened.members)))


def _through_service(
    request: ValidationRequest, opened: ValidationCohort, scoring: Scoring, service: TargetService, progress: Progress
) -> list[Prediction]:
    counting = _adding(progress, "through the service", len(opened.members))
    by_dicom = replace(scoring, way="dicom")
    with over_dicom.alone(service):
        return predictions.score(
            opened.members, by_dicom, request.out / PREDICTIONS, counting, over_dicom.through(service)
        )


def _run(
    request: ValidationRequest,
    card: ModelCard,
    opened: ValidationCohort,
    found: Sequence[Prediction],
    operating_point: float,
) -> ValidationRun:
    images = predictions.images(found, opened.members)
    points = points_of(card, operating_point)
    return ValidationRun(
        request, card, opened, found, images, per_image(images), points, Draws(request.rounds, request.seed)
    )


def _metrics(run: ValidationRun, trained: Trained, compared: Mapping[str, Any]) -> dict[str, Any]:
    request, members = run.request, run.cohort.members
    options = MeasureOptions(run.points, request.prevalence, request.rounds, request.seed)
    columns, too_many = columns_of(members, run.predictions)
    overlap = cohort.overlap(members, trained)
    pictures = sum(map(trained.has_image, members)) if trained.images is not None else None
    measurements = measured(run.images, options, run.draws)
    return {
        "metrics_schema": SCHEMA,
        "made": _made(),
        "model": _model(run.card, request),
        "cohort": _cohort(run.cohort, overlap) | {"training_images": pictures},
        "settings": {"prevalence": request.prevalence, "bootstrap_rounds": request.rounds, "seed": request.seed}
        | {"any_age": request.any_age, "points": [asdict(point) for point in run.points]},
        "interval_methods": METHODS,
        **measurements,
        "not_assessed": coverage_reasons(run.predictions),
        "folds": over_folds(run.images, [member.row.fold for member in members], run.points[0].threshold),
        "subgroups": subgroups(run.scored, columns, options, run.draws),
        "columns_of_too_many_values": too_many,
        "shortcuts": shortcuts(run.scored, columns, run.draws),
        **compared,
        "paper": _paper(run, measurements["image"], overlap),
    }


def _compared(run: ValidationRun, policy: AssessmentPolicy, compute: Compute, progress: Progress) -> dict[str, Any]:
    labels = [member.row.label for member in run.cohort.members]
    patients = [member.row.patient for member in run.cohort.members]
    models = {path: _other_scores(path, run, policy, compute, progress) for path in run.request.versus}
    readers: dict[str, external.Scores] = dict(external.manifest_readers(run.cohort.members, run.cohort.manifest))
    for file in run.request.readers:
        readers |= external.read_readers(file)
    if len(readers) > 2:
        readers["majority of readers"] = external.majority(readers)
    calls = {name: external.aligned(each, run.cohort.members, Path(name)) for name, each in readers.items()}
    beside = [
        versus(others.name_of(path), run.scored, each, run.points, run.draws) | asdict(others.design_of(path))
        for path, each in models.items()
    ]
    return {
        "versus": beside + [versus(name, run.scored, each, run.points, run.draws) for name, each in calls.items()],
        "readers": [{"name": name, **reader_point(each, labels, patients, run.draws)} for name, each in calls.items()],
        "replicates": _replicates(run) if run.request.replicates else None,
    }


def _other_scores(
    path: Path, run: ValidationRun, policy: AssessmentPolicy, compute: Compute, progress: Progress
) -> list[float | None]:
    if not others.is_model(path):
        return external.aligned(_read(path), run.cohort.members, path)
    folder = path.resolve()
    card = load_card(folder)
    out = run.request.out / f"versus-{others.name_of(path)}"
    out.mkdir(exist_ok=True)
    members = run.cohort.members
    scoring = Scoring(folder, card, policy, compute, run.request.any_age)
    found = predictions.score(
        members, scoring, out / PREDICTIONS, _adding(progress, f"scoring with {card.name}", len(members))
    )
    return [each.probability if each.assessed else None for each in found]


def _replicates(run: ValidationRun) -> dict[str, Any]:
    """AUCs of retrained models on the same images, and the paper's t-test between two sets of them."""

    def aucs(files: Sequence[Path]) -> list[float]:
        found = []
        for file in files:
            values = external.aligned(_read(file), run.cohort.members, file)
            if None in values:
                raise predictions.PredictionsError(f"{file} does not score every image of the cohort")
            found.append(auc(run.scored.labels, per_image(_with(run.images, values)).scores))
        return found

    return replicates(aucs(run.request.replicates), aucs(run.request.versus_replicates))


def _with(images: Sequence[ScoredImage], values: Sequence[float | None]) -> list[ScoredImage]:
    return [
        ScoredImage(each.name, each.label, each.patient, each.study, value, value is not None, True)
        for each, value in zip(images, values, strict=True)
    ]


def _paper(run: ValidationRun, image: Mapping[str, Any], overlap: Overlap) -> dict[str, Any] | None:
    if run.request.paper is None:
        return None
    images = [(member.name, member.row.label) for member in run.cohort.members]
    found = paper.compare(
        paper.paper_cohort(run.request.paper),
        images,
        image,
        trained_on=overlap.images,
        why=overlap.why,
        left_out=run.cohort.left_out,
    )
    return {**found.record(), "passes": found.verdict.passes}


def _pointing_game(run: ValidationRun, model_maps: maps.Maps) -> dict[str, Any] | None:
    """None without boxes; an explanation where the graph has no map."""
    if run.request.boxes is None:
        return None
    boxes = maps.read_boxes(run.request.boxes)
    if not model_maps.there:
        return {"findings": [], "why_not": f"the graph of {run.card.model_id} has no output {MAP}"}
    found = maps.pointing_game(model_maps, run.cohort.members, boxes)
    return found or {"findings": [], "why_not": "no image of the cohort has a box"}


def _made() -> dict[str, Any]:
    packages = ("cxr-triage", "numpy", "onnxruntime", "opencv-python-headless", "pydicom", "scikit-learn", "scipy")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(package)
    except PackageNotFoundError:  # onnxruntime-gpu is another distribution
        return None


def _model(card: ModelCard, request: ValidationRequest) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "sha256": card.model_sha256,
        "demo": card.demo,
        "target": card.target.model_dump(),
        "scores_given_by": request.scores.name if request.scores else None,
        **asdict(others.design_of(request.scores) if request.scores else others.design_in(card)),
    }


def _cohort(opened: ValidationCohort, overlap: Overlap) -> dict[str, Any]:
    return {
        "manifest": opened.manifest.name,
        "manifest_sha256": opened.sha256,
        "split": opened.split or None,
        "images_sha256": paper.digest_of((member.name, member.row.label) for member in opened.members),
        "title": opened.title or None,
        "notes": list(opened.notes),
        "files_with_the_bytes_of_another": opened.duplicates,
        "images_of_training_patients": overlap.images,
        "why_not_known": overlap.why or None,
        "images_of_training_patients_left_out": opened.left_out,
    }


def _read(path: Path) -> external.Scores:
    return external.read_scores(others.scores_file(path))


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise predictions.PredictionsError(f"--versus names {', '.join(twice)} twice: nobody could tell them apart")


def _adding(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    return lambda more: progress(what, more, total)
