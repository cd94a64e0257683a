"""The record of metrics.json, assembled from all measurements of a run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from triage.validation.cohort.members import Overlap, TrainingLists, ValidationCohort, overlap
from triage.validation.comparisons import (
    compare_with_others,
    compare_with_paper,
    finding_reader_calls,
    play_pointing_game,
)
from triage.validation.measures.bars import Bar, hold
from triage.validation.measures.by_finding import Measuring, measure_findings
from triage.validation.measures.cohort_record import (
    MeasureOptions,
    count_not_assessed,
    fold_figures,
    measure_cohort,
)
from triage.validation.measures.figures import METHODS
from triage.validation.measures.finding_records import SitePointRecord
from triage.validation.measures.metrics_record import (
    CohortRecord,
    DicomRecord,
    MadeRecord,
    ModelRecord,
    SettingsRecord,
    TargetRecord,
)
from triage.validation.measures.paper import digest_of
from triage.validation.measures.subgroups import group_columns, measure_shortcuts, measure_subgroups
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.report.cautions import warnings_of
from triage.validation.run import SCHEMA, Progress, ValidationRun
from triage.validation.scores.activation_maps import ActivationMaps
from triage.validation.scores.other_models import design_in, design_of

_PACKAGES = ("cxr-triage", "numpy", "onnxruntime", "opencv-python-headless", "pydicom", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Evidence:
    """The inputs of the record other than the run itself."""

    trained: TrainingLists
    maps: ActivationMaps
    dicom: DicomRecord | None
    bars: Sequence[Bar]


def measure(run: ValidationRun, evidence: Evidence, progress: Progress) -> MetricsRecord:
    """Measure everything, check the bars, and judge the run."""
    metrics = _measure(run, evidence, progress)
    results = [hold(bar, metrics) for bar in evidence.bars]
    metrics["bars"] = [{"bar": each.bar.text, "bound": each.bound, "holds": each.holds} for each in results]
    metrics["warnings"] = warnings_of(metrics, run.card)
    metrics["passed"] = _passed(metrics)
    return metrics


def _passed(metrics: MetricsRecord) -> bool:
    bars = all(each["holds"] for each in metrics["bars"])
    paper = metrics["paper"] is None or metrics["paper"]["passes"]
    service = metrics["dicom"] is None or not metrics["dicom"]["disagreements"]
    return bars and paper and service


def _measure(run: ValidationRun, evidence: Evidence, progress: Progress) -> MetricsRecord:
    request, members, trained = run.request, run.cohort.members, evidence.trained
    options = MeasureOptions(run.points, request.prevalence, request.rounds, request.seed)
    columns, too_many = group_columns(members, run.predictions)
    overlapping = overlap(members, trained)
    measurements = measure_cohort(run.images, options, run.draws)
    return {
        "metrics_schema": SCHEMA,
        "made": _made(),
        "model": _model(run),
        "cohort": _cohort(run.cohort, overlapping, trained),
        "settings": _settings(run),
        "interval_methods": METHODS,
        **measurements,
        **measure_findings(
            run.card,
            members,
            run.predictions,
            finding_reader_calls(run),
            measurements,
            Measuring(options, run.draws),
        ),
        "site_points": _site_points(run),
        "not_assessed": count_not_assessed(run.predictions),
        "folds": fold_figures(run.images, [member.row.fold for member in members], run.points[0].threshold),
        "subgroups": measure_subgroups(run.scored, columns, options, run.draws),
        "columns_of_too_many_values": too_many,
        "shortcuts": measure_shortcuts(run.scored, columns, run.draws),
        **compare_with_others(run, progress),
        "paper": compare_with_paper(run, measurements["image"], overlapping),
        "dicom": evidence.dicom,
        "pointing_game": play_pointing_game(run, evidence.maps),
        "bars": [],
        "warnings": [],
        "passed": False,
    }


def _site_points(run: ValidationRun) -> list[SitePointRecord]:
    digests = {member.digest[:16] for member in run.cohort.members}
    return [
        {
            "name": each.name,
            "finding": each.finding,
            "stratum": each.stratum.words,
            "threshold": each.threshold,
            "expires": each.expires.isoformat() if each.expires else None,
            "images_that_chose": len(digests.intersection(chose.images)) if (chose := each.provenance.chosen_on) else 0,
        }
        for each in run.request.site_points.entries
        if each.threshold is not None
    ]


def _made() -> MadeRecord:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # onnxruntime-gpu is another distribution
        return None


def _model(run: ValidationRun) -> ModelRecord:
    card, scores = run.card, run.request.scores
    design = design_of(scores) if scores else design_in(card)
    return {
        "name": card.name,
        "version": card.version,
        "sha256": card.model_sha256,
        "demo": card.demo,
        "target": cast("TargetRecord", card.target.model_dump()),
        "scores_given_by": scores.name if scores else None,
        "architecture": design.architecture,
        "size": design.size,
    }


def _settings(run: ValidationRun) -> SettingsRecord:
    request = run.request
    return {
        "prevalence": request.prevalence,
        "bootstrap_rounds": request.rounds,
        "seed": request.seed,
        "any_age": request.any_age,
        "points": [{"name": point.name, "threshold": point.threshold, "chosen": point.chosen} for point in run.points],
    }


def _cohort(cohort: ValidationCohort, overlapping: Overlap, trained: TrainingLists) -> CohortRecord:
    return {
        "manifest": cohort.manifest.name,
        "manifest_sha256": cohort.sha256,
        "split": cohort.split or None,
        "images_sha256": digest_of((member.name, member.row.label) for member in cohort.members),
        "title": cohort.title or None,
        "notes": list(cohort.notes),
        "files_with_the_bytes_of_another": cohort.duplicates,
        "images_of_training_patients": overlapping.images,
        "why_not_known": overlapping.reason or None,
        "images_of_training_patients_left_out": cohort.left_out,
        "training_images": None if trained.images is None else sum(map(trained.has_image, cohort.members)),
    }
