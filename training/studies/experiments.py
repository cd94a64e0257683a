"""One configuration in several variants, each cross-validated on the same folds: grids, ablations, learning curves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from training.config import Config
from training.errors import DivergedError, TrainingError
from training.files import write_csv, write_json
from training.runs.cross_validation import cross_validate, over_folds
from training.runs.devices import Process
from training.runs.run import RunSources
from training.runs.scores import RunScores, figures
from training.studies.compare import folds_of

BASE = "base"
TABLE = "results.csv"
DIVERGED = "diverged"
FIGURES = ("auc", "loss", "sensitivity", "specificity", "accuracy")

Changes = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """A variant, and its rows scored out of fold; None where its training diverged."""

    name: str
    changes: Changes
    scored: RunScores | None


def run_study(
    config: Config,
    variants: Mapping[str, Changes],
    source: RunSources,
    folder: Path,
    cache: Path,
    process: Process,
    folds: Sequence[int] = (),
) -> list[ExperimentResult]:
    """Cross-validate every variant into ``folder/NAME``, on all folds or those given; the table is ``results.csv``.

    What is finished is not trained again. A variant that diverges is written down as such, and the others go on.
    """
    changed = {name: config.changed(changes) for name, changes in variants.items()}  # all checked before any is trained
    outcomes: list[ExperimentResult] = []
    for name, variant in changed.items():
        try:
            scored: RunScores | None = cross_validate(variant, source, folder / name, cache, process, folds)
        except DivergedError as error:
            scored = None
            if process.writes:
                write_json(folder / name / f"{DIVERGED}.json", {"error": str(error)})
        outcomes.append(ExperimentResult(name, variants[name], scored))
        if process.writes:
            write_results(folder / TABLE, outcomes)
    return outcomes


def write_results(path: Path, outcomes: Iterable[ExperimentResult]) -> None:
    """One line for each variant, the lowest cross-entropy first, what diverged last.

    Variants that an earlier command wrote there, with other numbers of images or other ablations, stay.
    """
    rows = [_row(outcome) for outcome in outcomes]
    rows += _earlier(path, {row["variant"] for row in rows})
    rows.sort(key=lambda row: float(row.get("loss") or "inf"))
    columns = ["variant", "changes", "images"]
    for name in FIGURES:
        columns += [name, f"{name}_mean", f"{name}_sd"]
    write_csv(path, columns, rows)


def _earlier(path: Path, but: set[str]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file) if row["variant"] not in but]


def _row(outcome: ExperimentResult) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": outcome.name, "changes": _text(outcome.changes)}
    if outcome.scored is None:
        return row | {"images": DIVERGED}
    whole = figures(outcome.scored)
    row |= {"images": len(outcome.scored.images)}
    row |= {name: f"{whole[name]:.4f}" for name in FIGURES if name in whole}
    folds = over_folds(folds_of(outcome.scored))
    for kind in ("mean", "sd"):
        row |= {f"{name}_{kind}": f"{folds[kind][name]:.4f}" for name in FIGURES if name in folds[kind]}
    return row


def _text(changes: Changes) -> str:
    return "; ".join(f"{key} = {value}" for key, value in changes.items())


def grid_of(config: Config) -> dict[str, Changes]:
    """Every combination of the configuration's ``grid``. TrainingError if it has none."""
    if not config.grid:
        raise TrainingError("the configuration has no [grid]")
    combinations = [dict(zip(config.grid, values, strict=True)) for values in product(*config.grid.values())]
    return {_folder_name(one): one for one in combinations}


def _folder_name(changes: Changes) -> str:
    return "-".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items()).replace("/", "_")


def ablations_of(config: Config, only: Sequence[str] = ()) -> dict[str, Changes]:
    """The configuration as it is, and each of its ``ablate`` tables alone. TrainingError for an unknown name."""
    unknown = sorted(set(only) - set(config.ablate))
    if unknown or not config.ablate:
        raise TrainingError(f"no [ablate.{unknown[0] if unknown else 'NAME'}]; there are {', '.join(config.ablate)}")
    return {BASE: {}, **{name: config.ablate[name] for name in only or config.ablate}}


def sizes_of(counts: Sequence[int]) -> dict[str, Changes]:
    """Training with at most so many images; 0 is all of them."""
    return {f"images={count or 'all'}": {"data.limit": count} for count in sorted(set(counts), key=lambda n: n or 1e18)}
