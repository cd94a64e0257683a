"""Comparisons of a validation: other models, readers, replicates of training, the paper, radiologists' boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from triage.model.card import load_card
from triage.model.session import MAP
from triage.statistics.intervals import auc
from triage.validation.cohort.members import Overlap
from triage.validation.measures import paper
from triage.validation.measures.comparison_records import (
    Comparisons,
    NamedReaderFigures,
    PaperRecord,
    ReplicatesRecord,
    VersusRecord,
)
from triage.validation.measures.metrics_record import UnitRecord
from triage.validation.measures.versus import Values, compare_replicates, compare_scores, reader_figures
from triage.validation.run import Progress, ValidationRun, counter
from triage.validation.scores import other_models as others
from triage.validation.scores.activation_maps import ActivationMaps, PointingGame, pointing_game, read_boxes
from triage.validation.scores.external import (
    Scores,
    aligned,
    majority,
    manifest_finding_readers,
    manifest_readers,
    read_finding_readers,
    read_readers,
)
from triage.validation.scores.predictions import PREDICTIONS, PredictionsError, score_cohort
from triage.validation.scores.scored import CohortImage, per_image


def compare_with_others(run: ValidationRun, progress: Progress) -> Comparisons:
    """Compare the model with the other models, readers and replicates of the request."""
    models = [_versus_model(path, run, progress) for path in run.request.versus]
    calls = _reader_calls(run)
    readers = [compare_scores(name, run.scored, each, run.points, run.draws) for name, each in calls.items()]
    return {
        "versus": models + readers,
        "readers": [_reader(name, each, run) for name, each in calls.items()],
        "replicates": _compare_replicates(run) if run.request.replicates else None,
    }


def _versus_model(path: Path, run: ValidationRun, progress: Progress) -> VersusRecord:
    scores = _other_scores(path, run, progress)
    record = compare_scores(others.name_of(path), run.scored, scores, run.points, run.draws)
    design = others.design_of(path)
    return {**record, "architecture": design.architecture, "size": design.size}


def _other_scores(path: Path, run: ValidationRun, progress: Progress) -> list[float | None]:
    members = run.cohort.members
    if not others.is_model(path):
        return aligned(others.read_scores_of(path), members, path)
    folder = path.resolve()
    scoring = replace(run.scoring, folder=folder, card=load_card(folder))
    out = run.request.out / f"versus-{others.name_of(path)}"
    out.mkdir(exist_ok=True)
    counting = counter(progress, f"scoring with {scoring.card.name}", len(members))
    found = score_cohort(members, scoring, out / PREDICTIONS, counting)
    return [each.probability if each.assessed else None for each in found]


def _reader_calls(run: ValidationRun) -> Mapping[str, Values]:
    """Return the calls of every reader, and of their majority if there are three or more."""
    members = run.cohort.members
    readers: dict[str, Scores] = dict(manifest_readers(members, run.cohort.manifest))
    for file in run.request.readers:
        readers |= read_readers(file)
    if len(readers) > 2:
        readers["majority of readers"] = majority(readers)
    return {name: aligned(each, members, Path(name)) for name, each in readers.items()}


def finding_reader_calls(run: ValidationRun) -> dict[str, dict[str, Values]]:
    """Return the calls of readers by finding and reader, from the manifest and the files of the request.

    Calls without a finding are those of the leading one.
    """
    members = run.cohort.members
    found: dict[str, dict[str, Scores]] = {}
    given = [manifest_finding_readers(members, run.cohort.manifest)]
    given += [{"": read_readers(file), **read_finding_readers(file)} for file in run.request.readers]
    for by_finding in given:
        for finding, readers in by_finding.items():
            found.setdefault(finding or run.card.leading.name, {}).update(readers)
    return {
        finding: {name: aligned(each, members, Path(name)) for name, each in readers.items()}
        for finding, readers in found.items()
    }


def _reader(name: str, calls: Values, run: ValidationRun) -> NamedReaderFigures:
    rows = [member.row for member in run.cohort.members]
    labels, patients = [row.label for row in rows], [row.patient for row in rows]
    return {"name": name, **reader_figures(calls, labels, patients, run.draws)}


def _compare_replicates(run: ValidationRun) -> ReplicatesRecord:
    """Compare the AUCs of retrained models on the same images, with the paper's t-test between two sets of them."""

    def aucs(files: Sequence[Path]) -> list[float]:
        found = []
        for file in files:
            values = aligned(others.read_scores_of(file), run.cohort.members, file)
            if None in values:
                raise PredictionsError(f"{file} does not score every image of the cohort")
            found.append(auc(run.scored.labels, per_image(_with_scores(run.images, values)).scores))
        return found

    return compare_replicates(aucs(run.request.replicates), aucs(run.request.versus_replicates))


def _with_scores(images: Sequence[CohortImage], values: Values) -> list[CohortImage]:
    return [
        replace(each, probability=value, assessed=value is not None, counts=True)
        for each, value in zip(images, values, strict=True)
    ]


def compare_with_paper(run: ValidationRun, image: UnitRecord, overlap: Overlap) -> PaperRecord | None:
    """Compare the figures per image with the paper's report of the requested test set; None without a request."""
    if run.request.paper is None:
        return None
    found = paper.compare(
        paper.paper_cohort(run.request.paper),
        [(member.name, member.row.label) for member in run.cohort.members],
        image,
        trained_on=overlap.images,
        why=overlap.reason,
        left_out=run.cohort.left_out,
    )
    return {**found.record(), "passes": found.verdict.passes}


def play_pointing_game(run: ValidationRun, maps: ActivationMaps) -> PointingGame | None:
    """Play the pointing game with the boxes of the request, or explain why it cannot be played; None without boxes."""
    if run.request.boxes is None:
        return None
    if not maps.available:
        return {"findings": [], "why_not": f"the graph of {run.card.model_id} has no output {MAP}"}
    every = zip(run.cohort.members, run.predictions, strict=True)
    assessed = [member for member, prediction in every if prediction.assessed]  # of others readers are shown no map
    found = pointing_game(maps, assessed, read_boxes(run.request.boxes))
    return found or {"findings": [], "why_not": "no assessed image of the cohort has a box"}
