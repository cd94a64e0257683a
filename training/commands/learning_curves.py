"""Command ``compare-curves``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, NEW_FILE, cache_option, collected
from training.data.cases import read_cases
from training.data.images import load
from training.errors import TrainingError
from training.files import write_csv
from training.studies.learning_curves import AppearanceScores, points_of, table
from training.studies.plots import curves, save
from training.studies.shortcuts import appearance_score, appearance_statistics
from training.studies.tables import markdown_table
from triage.radiograph.preprocess import PreprocessSpec


@dataclass(frozen=True)
class CurveOptions:
    """Options of ``compare-curves``; ``former`` are the manifests given with the option's name before 0.2.0."""

    manifests: tuple[Path, ...]
    former: tuple[Path, ...]
    splits: tuple[str, ...]
    size: int
    cache: Path
    out: Path | None
    plot: Path | None


def _warn_of_former_name(_: click.Context, option: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    if value:
        click.echo("--look is called --appearance now; the old name goes with 0.3.0", err=True)
    return value


@click.command("compare-curves")
@click.argument("studies", nargs=-1, required=True, metavar="RECIPE=FOLDER...")
@click.option(
    "--appearance", "manifests", type=FILE, multiple=True, help="The rows' manifest: compare also at equal appearance."
)
@click.option("--look", "former", type=FILE, multiple=True, hidden=True, callback=_warn_of_former_name)
@click.option("--split", "splits", multiple=True, default=("train", "val", ""), show_default=True)
@click.option("--size", default=160, show_default=True, help="Pixels at which appearance is measured.")
@cache_option
@click.option("-o", "--out", type=NEW_FILE, help="The table as CSV.")
@click.option("--plot", type=NEW_FILE, help="The curves, .png, .svg or .pdf.")
@collected(CurveOptions)
def compare_curves(options: CurveOptions, studies: tuple[str, ...]) -> None:
    """Compare the learning curves of several recipes: RECIPE=FOLDER, the first is the reference.

    A recipe that is named twice has the networks of both folders. Differences come with the patient-clustered interval
    on the same images and the paper's t-test over the networks.
    """
    points = [point for name, folders in _by_name(studies).items() for point in points_of(name, folders)]
    appearance = _appearance(options)
    rows = table(points, appearance)
    click.echo(markdown(rows), nl=False)
    if options.out:
        write_csv(options.out, _columns(rows), rows)
    if options.plot:
        save(curves(points, appearance), options.plot)


def _by_name(studies: Sequence[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for text in studies:
        name, equals, folder = text.partition("=")
        if not equals:
            raise TrainingError(f"{text!r} is not RECIPE=FOLDER")
        found.setdefault(name, []).append(Path(folder))
    return found


def _appearance(options: CurveOptions) -> AppearanceScores | None:
    manifests = [*options.manifests, *options.former]
    if not manifests:
        return None
    cases = [case for case in read_cases(manifests) if case.split in options.splits]
    statistics = appearance_statistics(load(cases, PreprocessSpec(size=options.size), options.cache))
    scores = appearance_score(
        statistics, np.array([float(case.label) for case in cases]), [case.patient for case in cases]
    )
    return dict(zip((str(case.image.resolve()) for case in cases), scores.tolist(), strict=True))


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the rows as a table in Markdown."""
    columns = _columns(rows)
    return markdown_table(columns, ([str(row.get(name, "")) for name in columns] for row in rows))


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the columns, in the order of the row with most of them."""
    widest = max(rows, key=len)
    return list(widest)
