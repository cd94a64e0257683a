"""Command ``judge``: a table of scores against the labels of a manifest, and against another table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, FOLDER
from training.errors import TrainingError
from training.studies.judged import (
    ScoredImages,
    compared,
    differences_markdown,
    judged,
    logits_of,
    markdown,
    recalibrated_on_other_folds,
)
from triage.model.card import load_card
from triage.validation.cohort.manifest import ManifestError, Row, read_manifest


@click.command("judge")
@click.argument("scores", type=FILE)
@click.option("--manifest", required=True, type=FILE, help="The same images, with label, patient and view.")
@click.option("--finding", default="", help="A further finding: its column of `findings`, and label:FINDING.")
@click.option("--versus", type=FILE, help="Other scores of the same images: image, probability.")
@click.option("--calibrated-by", type=FOLDER, help="A model folder: its card's calibration is applied first.")
@click.option("--calibrate-across-folds", is_flag=True, help="Calibrate each fold by a fit on the manifest's others.")
def judge(
    scores: Path,
    manifest: Path,
    finding: str,
    versus: Path | None,
    calibrated_by: Path | None,
    calibrate_across_folds: bool,
) -> None:
    """Judge SCORES over all images, within view and by view: AUC, calls at 0.5, calibration; differences of AUC.

    SCORES is a table of `triage validate` (predictions.csv): of images that the model did not learn from, or out of
    fold. Images without a probability are left out, those that a model refused are not.
    """
    scored = _scored(scores, manifest, finding)
    if calibrated_by:
        scored = _by_card(scored, calibrated_by, finding)
    if calibrate_across_folds:
        scored = recalibrated_on_other_folds(scored)
    click.echo(markdown(judged(scored, by_fold=calibrate_across_folds)), nl=False)
    if versus:
        click.echo("\n" + differences_markdown(compared(scored, _scored(versus, manifest, ""))), nl=False)


def _scored(path: Path, manifest: Path, finding: str) -> ScoredImages:
    with path.open(newline="", encoding="utf-8") as file:
        given = {row["image"].rpartition("/")[2]: _probability(row, finding) for row in csv.DictReader(file)}
    rows = [row for row in _rows(manifest) if given.get(row.image.name) and _label(row, finding) is not None]
    if not rows:
        raise TrainingError(f"no image of {manifest} has a score in {path} and a label of {finding or 'the model'}")
    return ScoredImages(
        names=tuple(row.image.name for row in rows),
        patients=tuple(row.patient for row in rows),
        views=tuple(row.view for row in rows),
        folds=tuple(-1 if row.fold is None else row.fold for row in rows),
        labels=np.array([float(_label(row, finding) or 0) for row in rows]),
        logits=logits_of(given, [row.image.name for row in rows]),
    )


def _rows(manifest: Path) -> Sequence[Row]:
    try:
        return read_manifest(manifest)
    except ManifestError as error:
        raise TrainingError(str(error)) from error


def _label(row: Row, finding: str) -> int | None:
    return row.labels.get(finding) if finding else row.label


def _probability(row: Mapping[str, str], finding: str) -> str:
    """Return the text of the probability, of the leading finding or of ``NAME=VALUE@THRESHOLD|…`` of a further one."""
    if not finding:
        return row["probability"]
    values = dict(each.partition("=")[::2] for each in row["findings"].split("|"))
    return values.get(finding, "").partition("@")[0]


def _by_card(scored: ScoredImages, folder: Path, finding: str) -> ScoredImages:
    card = load_card(folder.resolve())
    found = next((each for each in card.findings if each.name == finding), card.leading)
    if found.calibration_fit is None:
        raise TrainingError(f"the card of {folder} has no calibration of {found.name}")
    fit = found.calibration_fit
    return replace(scored, logits=fit.slope * scored.logits + fit.intercept)
