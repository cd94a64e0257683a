"""The command ``shortcuts``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from training.cohorts import read_cases
from training.commands import FILE, FOLDER
from training.images import load
from training.scores import Scored
from training.shortcuts import each_alone, look_score, looks, matched
from triage.radiograph.preprocess import PreprocessSpec
from triage.validation.statistics import auc


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
            Scored.read(predictions), dict(zip((str(case.image.resolve()) for case in cases), look, strict=True))
        )


def _show_matched(scored: Scored, look: dict[str, float]) -> None:
    known = scored.where([str(Path(image).resolve()) in look for image in scored.images])
    found = matched(
        known.labels, known.probabilities, np.array([look[str(Path(image).resolve())] for image in known.images])
    )
    click.echo(f"the run, {len(known.labels)} images: AUC {auc(known.labels, known.logits):.3f}")
    click.echo(f"the same where the look is alike: AUC {found.auc:.3f}")
    click.echo(f"specificity of {found.lookalikes} negatives that look positive: {found.lookalike_specificity:.3f}")
