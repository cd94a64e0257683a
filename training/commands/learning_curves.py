"""The command ``compare-curves``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from training.commands.options import FILE, FOLDER
from training.data.cases import read_cases
from training.data.images import load
from training.errors import TrainingError
from training.files import write_csv
from training.studies.learning_curves import Look, points_of, table
from training.studies.plots import curves, save
from training.studies.shortcuts import look_score, looks
from triage.radiograph.preprocess import PreprocessSpec

PLOT = click.Path(dir_okay=False, path_type=Path)


@click.command("compare-curves")
@click.argument("studies", nargs=-1, required=True, metavar="RECIPE=FOLDER...")
@click.option("--look", "manifests", type=FILE, multiple=True, help="The rows' manifest: also where the look is alike.")
@click.option("--split", "splits", multiple=True, default=("train", "val", ""), show_default=True)
@click.option("--size", default=160, show_default=True, help="Pixels at which the look is measured.")
@click.option("--cache", type=FOLDER, default=Path("runs/cache"), show_default=True, help="Decoded images.")
@click.option("-o", "--out", type=PLOT, help="The table as CSV.")
@click.option("--plot", type=PLOT, help="The curves, .png, .svg or .pdf.")
def compare_curves(
    studies: tuple[str, ...],
    manifests: tuple[Path, ...],
    splits: tuple[str, ...],
    size: int,
    cache: Path,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Compare what learning-curve made of several recipes: RECIPE=FOLDER, the first is the reference.

    A recipe that is named twice has the networks of both folders. Differences come with the patient-clustered interval
    on the same images and the paper's t-test over the networks.
    """
    points = [point for name, folders in _by_name(studies).items() for point in points_of(name, folders)]
    look = _look(manifests, splits, size, cache) if manifests else None
    rows = table(points, look)
    click.echo(markdown(rows), nl=False)
    if out:
        write_csv(out, _columns(rows), rows)
    if plot:
        save(curves(points, look), plot)


def _by_name(studies: Sequence[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for text in studies:
        name, equals, folder = text.partition("=")
        if not equals:
            raise TrainingError(f"{text!r} is not RECIPE=FOLDER")
        found.setdefault(name, []).append(Path(folder))
    return found


def _look(manifests: Sequence[Path], splits: Sequence[str], size: int, cache: Path) -> Look:
    cases = [case for case in read_cases(manifests) if case.split in splits]
    statistics = looks(load(cases, PreprocessSpec(size=size), cache))
    scores = look_score(statistics, np.array([float(case.label) for case in cases]), [case.patient for case in cases])
    return dict(zip((str(case.image.resolve()) for case in cases), scores.tolist(), strict=True))


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """As a table for a page."""
    columns = _columns(rows)
    lines = [columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The row with most columns gives their order."""
    widest = max(rows, key=len)
    return list(widest)
