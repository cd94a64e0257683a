"""The commands ``shortcuts`` and ``split-by-look``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, FOLDER
from training.data.cases import read_cases
from training.data.images import load
from training.prepare.splits import by_person
from training.runs.scores import RunScores
from training.studies.shortcut_split import split_by_look
from training.studies.shortcuts import each_alone, look_score, looks, matched
from triage.radiograph.preprocess import PreprocessSpec
from triage.statistics.intervals import auc
from triage.validation.cohort.manifest import read_manifest, write_manifest


@click.command("shortcuts")
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("--split", "splits", multiple=True, default=("train", "val", ""), show_default=True)
@click.option("--predictions", type=FILE, help="A run's predictions.csv: how it does where the look says nothing.")
@click.option("--size", default=160, show_default=True, help="Pixels at which images are looked at.")
@click.option("--cache", type=FOLDER, default=Path("runs/cache"), show_default=True, help="Decoded images.")
def shortcuts(
    manifests: tuple[Path, ...], splits: tuple[str, ...], predictions: Path | None, size: int, cache: Path
) -> None:
    """Say what sharpness, exposure and borders alone tell about the label, so that no network learns them instead."""
    cases = [case for case in read_cases(manifests) if case.split in splits]
    images = load(cases, PreprocessSpec(size=size), cache)
    labels = np.array([float(case.label) for case in cases])
    statistics = looks(images)
    for name, value in each_alone(statistics, labels).items():
        click.echo(f"{name:<26} AUC {value:.3f}")
    look = look_score(statistics, labels, [case.patient for case in cases])
    click.echo(f"{'all of them, out of fold':<26} AUC {auc(labels, look):.3f} ({len(cases)} images)")
    if predictions:
        _show_matched(
            RunScores.read(predictions), dict(zip((str(case.image.resolve()) for case in cases), look, strict=True))
        )


@click.command("split-by-look")
@click.option("--manifest", required=True, type=FILE)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The new manifest.")
@click.option(
    "--split", "splits", multiple=True, default=("train", "val", ""), show_default=True, help="Rows to split."
)
@click.option("--share", default=0.1, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True))
@click.option("--size", default=160, show_default=True, help="Pixels at which images are looked at.")
@click.option("--cache", type=FOLDER, default=Path("runs/cache"), show_default=True, help="Decoded images.")
def split_by_look_command(
    manifest: Path, out: Path, splits: tuple[str, ...], share: float, size: int, cache: Path
) -> None:
    """Write a manifest whose validation part holds those whose look is most that of the other class.

    For comparing recipes where the look misleads. Rows of other splits, as a test's, are neither opened nor written.
    """
    rows = [row for row in read_manifest(manifest) if row.split in splits]
    cases = [case for case in read_cases([manifest]) if case.split in splits]
    labels = np.array([float(row.label) for row in rows])
    look = look_score(looks(load(cases, PreprocessSpec(size=size), cache)), labels, [by_person(row) for row in rows])
    found = split_by_look(rows, look, share)
    write_manifest(out, found)
    for split in ("train", "val"):
        there = np.array([row.split == split for row in found])
        click.echo(
            f"{split}: {int((labels[there] < 0.5).sum())} of label 0, {int((labels[there] > 0.5).sum())} of label 1; "
            f"AUC of the look {auc(labels[there], look[there]):.3f}"
        )


def _show_matched(scored: RunScores, look: dict[str, float]) -> None:
    known = scored.where([str(Path(image).resolve()) in look for image in scored.images])
    found = matched(
        known.labels, known.probabilities, np.array([look[str(Path(image).resolve())] for image in known.images])
    )
    click.echo(f"the run, {len(known.labels)} images: AUC {auc(known.labels, known.logits):.3f}")
    click.echo(f"the same where the look is alike: AUC {found.auc:.3f}")
    click.echo(f"specificity of {found.lookalikes} negatives that look positive: {found.lookalike_specificity:.3f}")
