"""Command ``projection``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, FOLDER
from training.data.cases import TrainingCase, part_of_patient, read_cases
from training.studies.projection import (
    Floats,
    Mask,
    ages,
    ap_shares,
    by_limit,
    figures,
    fit,
    kinds,
    of_known_view,
    tells_the_illness,
    thumbnails_of,
)
from training.studies.thumbnail_network import Recipe, sources, write
from triage.radiograph.types import FloatImage

_FOLDS = 3
_RECIPE = Recipe(convolutions=((8, 4), (16, 3)), units=32, dropout=0.3, steps=2000, learning_rate=2e-3)
_ABOUT = (
    "The weights of triage/radiograph/projection.py: PA or AP. Made by `python -m training projection` "
    "(docs/how-to/training.md) from pixels and View Position alone, without any reading."
)


@click.command("projection")
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("-o", "--out", required=True, type=FOLDER, help="Where projection.npz and projection.json are written.")
@click.option("--least", required=True, type=float, help="Certainty from which the pixels contradict a stated view.")
@click.option("--from-years", default=18.0, show_default=True, help="Age from which images are learnt and checked.")
@click.option("--steps", default=_RECIPE.steps, show_default=True)
@click.option("--seed", default=0, show_default=True)
def projection(manifests: tuple[Path, ...], out: Path, least: float, from_years: float, steps: int, seed: int) -> None:
    """Fit the check that compares a stated PA or AP with the pixels, and measure it out of fold by patient.

    Only the view is learnt. To ship the result, copy both files to triage/radiograph.
    """
    cases = of_known_view(read_cases(manifests))
    small, recipe = thumbnails_of(cases), replace(_RECIPE, steps=steps, seed=seed)
    adult = ages(cases) >= from_years
    measured = _measured(cases, small, adult, recipe, least)
    learnt = _some(cases, adult)
    record = {
        "about": _ABOUT,
        "least_certain": least,
        "from_years": from_years,
        "trained_on": sources(learnt),
        "steps": steps,
        "seed": seed,
        "measured": measured,
    }
    write(out, "projection", fit(small[adult], learnt, recipe), record)


def _measured(
    cases: Sequence[TrainingCase], small: FloatImage, adult: Mask, recipe: Recipe, least: float
) -> dict[str, object]:
    shares = _out_of_fold(cases, small, adult, recipe)
    adults = _some(cases, adult)
    record: dict[str, object] = {"out of fold": _by_kind(adults, shares[adult], least)}
    record["by limit"] = by_limit(adults, shares[adult])
    record["share of AP tells the ill within a view"] = tells_the_illness(adults, shares[adult])
    if not adult.all():
        record["out of fold, younger: not asked"] = figures(_some(cases, ~adult), shares[~adult], least)
    return record


def _out_of_fold(cases: Sequence[TrainingCase], small: FloatImage, adult: Mask, recipe: Recipe) -> Floats:
    """Return the shares of AP of all ``cases``, each by a network of adults that did not train on its patient."""
    folds = np.array([part_of_patient(case.patient, _FOLDS) for case in cases])
    found = np.zeros(len(cases))
    for fold in range(_FOLDS):
        learnt = adult & (folds != fold)
        network = fit(small[learnt], _some(cases, learnt), recipe)
        found[folds == fold] = ap_shares(small[folds == fold], network)
    return found


def _by_kind(cases: Sequence[TrainingCase], shares: Floats, least: float) -> dict[str, object]:
    record: dict[str, object] = {"all": figures(cases, shares, least)}
    for kind in sorted({kind for case in cases for kind in kinds(case)}):
        chosen = np.array([kind in kinds(case) for case in cases])
        record[kind] = figures(_some(cases, chosen), shares[chosen], least)
    return record


def _some(cases: Sequence[TrainingCase], chosen: Mask) -> list[TrainingCase]:
    return [case for case, one in zip(cases, chosen, strict=True) if one]
