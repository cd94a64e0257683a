"""Command ``orientation``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from training.commands.options import FILE, FOLDER, cache_option
from training.data.cases import TrainingCase, check_patients_apart, part_of_patient, read_cases
from training.data.images import load
from training.studies.orientation import (
    SLANTS,
    Floats,
    certainties,
    certainties_of_cases,
    certainties_of_slanted,
    counted,
    fit,
)
from training.studies.thumbnail_network import CACHED, Recipe, share, sources, thumbnails, write
from triage.radiograph.thumbnail import ThumbnailNetwork

_FOLDS = 3
_SLANTED = 5
"""Every n-th held-out row is measured slanted, as ten angles take ten times as long."""


@click.command("orientation")
@click.option("--manifest", "manifests", required=True, multiple=True, type=FILE, help="Rows; may be repeated.")
@click.option("--test", "tests", multiple=True, type=FILE, help="Rows that are measured only; may be repeated.")
@click.option("-o", "--out", required=True, type=FOLDER, help="Where orientation.npz and orientation.json are written.")
@click.option("--least", default=0.8, show_default=True, help="Certainty from which an image counts as upright.")
@click.option("--steps", default=Recipe().steps, show_default=True)
@cache_option
def orientation(
    manifests: tuple[Path, ...], tests: tuple[Path, ...], out: Path, least: float, steps: int, cache: Path
) -> None:
    """Fit the check that refuses turned chests, and measure it: out of fold by patient, and on rows of split test.

    No label is used. To ship the result, copy both files to triage/radiograph.
    """
    rows = read_cases(manifests)
    learnt = [case for case in rows if case.split != "test"]
    held_out = [case for case in rows if case.split == "test"] + read_cases(tests)
    check_patients_apart(learnt, held_out)
    recipe = Recipe(steps=steps)
    small = thumbnails(load(learnt, CACHED, cache))
    folds = np.array([part_of_patient(case.patient, _FOLDS) for case in learnt])
    groups = np.array([case.source for case in learnt])
    found = np.zeros((len(learnt), 4))
    for fold in range(_FOLDS):
        network = fit(small[folds != fold], groups[folds != fold].tolist(), recipe)
        found[folds == fold] = certainties(small[folds == fold], network)
    shipped = fit(small, groups.tolist(), recipe)
    measured: dict[str, object] = {"out of fold": _by_source(learnt, found, least)}
    if held_out:
        measured["held out"] = _by_source(held_out, certainties_of_cases(held_out, shipped), least)
        measured["held out, slanted"] = _slanted(held_out[::_SLANTED], shipped, least)
    record = {"least_upright": least, "trained_on": sources(learnt), "steps": steps, "measured": measured}
    write(out, "orientation", shipped, record)


def _by_source(cases: Sequence[TrainingCase], turned: Floats, least: float) -> dict[str, object]:
    names = np.array([f"{case.source}, {case.view or 'view unknown'}" for case in cases])
    record: dict[str, object] = {"all": counted(turned, least)}
    for name in sorted(set(names.tolist())):
        record[name] = counted(turned[names == name], least)
    return record


def _slanted(cases: Sequence[TrainingCase], network: ThumbnailNetwork, least: float) -> dict[str, object]:
    found = certainties_of_slanted(cases, network) < least
    return {
        "images": len(cases),
        "refused": {str(angle): share(int(found[:, place].sum()), len(cases)) for place, angle in enumerate(SLANTS)},
    }
