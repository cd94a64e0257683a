"""Commands ``shortcuts`` and ``split-by-appearance``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, NEW_FILE, cache_option
from training.data.cases import read_cases
from training.data.images import load
from training.prepare.splits import by_person
from training.runs.scores import RunScores
from training.studies.shortcut_split import split_by_appearance
from training.studies.shortcuts import appearance_score, appearance_statistics, each_alone, matched
from triage.radiograph.preprocess import PreprocessSpec
from triage.statistics.intervals import auc
from triage.validation.cohort.manifest import read_manifest, write_manifest


@click.command("shortcuts")
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("--split", "splits", multiple=True, default=("train", "val", ""), show_default=True)
@click.option("--predictions", type=FILE, help="A run's predictions.csv: its figures at equal appearance.")
@click.option("--size", default=160, show_default=True, help="Pixels at which appearance is measured.")
@cache_option
def shortcuts(
    manifests: tuple[Path, ...], splits: tuple[str, ...], predictions: Path | None, size: int, cache: Path
) -> None:
    """Measure what sharpness, exposure and borders alone tell about the label: networks may learn them instead."""
    cases = [case for case in read_cases(manifests) if case.split in splits]
    images = load(cases, PreprocessSpec(size=size), cache)
    labels = np.array([float(case.label) for case in cases])
    statistics = appearance_statistics(images)
    for name, value in each_alone(statistics, labels).items():
        click.echo(f"{name:<26} AUC {value:.3f}")
    appearance = appearance_score(statistics, labels, [case.patient for case in cases])
    click.echo(f"{'all of them, out of fold':<26} AUC {auc(labels, appearance):.3f} ({len(cases)} images)")
    if predictions:
        _show_matched(
            RunScores.read(predictions),
            dict(zip((str(case.image.resolve()) for case in cases), appearance, strict=True)),
        )


@click.command("split-by-appearance")
@click.option("--manifest", required=True, type=FILE)
@click.option("-o", "--out", required=True, type=NEW_FILE, help="The new manifest.")
@click.option(
    "--split", "splits", multiple=True, default=("train", "val", ""), show_default=True, help="Rows to split."
)
@click.option("--share", default=0.1, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True))
@click.option("--size", default=160, show_default=True, help="Pixels at which appearance is measured.")
@cache_option
def split_by_appearance_command(
    manifest: Path, out: Path, splits: tuple[str, ...], share: float, size: int, cache: Path
) -> None:
    """Write a manifest whose validation part holds the images that appear most like the other class.

    It is for comparing recipes where appearance misleads. Rows of other splits are neither opened nor written.
    """
    rows = [row for row in read_manifest(manifest) if row.split in splits]
    cases = [case for case in read_cases([manifest]) if case.split in splits]
    labels = np.array([float(row.label) for row in rows])
    appearance = appearance_score(
        appearance_statistics(load(cases, PreprocessSpec(size=size), cache)), labels, [by_person(row) for row in rows]
    )
    found = split_by_appearance(rows, appearance, share)
    write_manifest(out, found)
    for split in ("train", "val"):
        there = np.array([row.split == split for row in found])
        click.echo(
            f"{split}: {int((labels[there] < 0.5).sum())} of label 0, {int((labels[there] > 0.5).sum())} of label 1; "
            f"AUC of appearance {auc(labels[there], appearance[there]):.3f}"
        )


def _show_matched(scored: RunScores, appearance: dict[str, float]) -> None:
    known = scored.where([str(Path(image).resolve()) in appearance for image in scored.images])
    found = matched(
        known.labels, known.probabilities, np.array([appearance[str(Path(image).resolve())] for image in known.images])
    )
    click.echo(f"the run, {len(known.labels)} images: AUC {auc(known.labels, known.logits):.3f}")
    click.echo(f"the same at equal appearance: AUC {found.auc:.3f}")
    click.echo(f"specificity of {found.lookalikes} negatives that appear positive: {found.lookalike_specificity:.3f}")
