"""Command ``with-reader``."""

from __future__ import annotations

import csv
from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE
from training.data.cases import read_cases
from training.errors import TrainingError
from training.studies.with_reader import Reading, by_finding, combinations, findings_markdown, markdown


@click.command("with-reader")
@click.argument("scores", type=FILE)
@click.option("--manifest", required=True, type=FILE, help="The same images, with the reader's calls.")
@click.option("--call", "column", help="Column of the manifest with the reader's call, 0 or 1.")
@click.option("--findings", help="Column with findings, separated by |: print the share raised of each.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of the model.")
def with_reader(scores: Path, manifest: Path, column: str | None, findings: str | None, threshold: float) -> None:
    """Combine a model with a reader, or say what it raises of each finding.

    SCORES is a table of `triage validate` (predictions.csv): of images that the model did not learn from, or out of
    fold. Images without a probability are left out, and counted.
    """
    reading, left_out = _reading(scores, manifest, column or "label", findings)
    click.echo(f"{len(reading.labels)} images, {left_out} more without a score or a call\n")
    if column:
        click.echo(markdown(combinations(reading, threshold)))
    if findings:
        click.echo(findings_markdown(by_finding(reading, threshold)), nl=False)


def _reading(scores: Path, manifest: Path, column: str, findings: str | None) -> tuple[Reading, int]:
    with scores.open(newline="", encoding="utf-8") as file:
        given = {row["image"]: row["probability"] for row in csv.DictReader(file)}
    cases = [case for case in read_cases([manifest]) if case.image.name in given]
    for name in (column, *([findings] if findings else [])):
        if cases and name not in cases[0].columns:
            raise TrainingError(f"{manifest} has no column {name!r}; there are {', '.join(cases[0].columns)}")
    kept = [case for case in cases if given[case.image.name] and case.columns[column] in ("0", "1")]
    if not kept:
        raise TrainingError(f"no image of {manifest} has a score in {scores} and a call in {column!r}")
    reading = Reading(
        patients=tuple(case.patient for case in kept),
        views=tuple(case.view for case in kept),
        findings=tuple(case.columns[findings] if findings else "" for case in kept),
        labels=np.array([float(case.label) for case in kept]),
        calls=np.array([case.columns[column] == "1" for case in kept]),
        probabilities=np.array([float(given[case.image.name]) for case in kept]),
    )
    return reading, len(cases) - len(kept)
