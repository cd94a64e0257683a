"""Variants of one configuration, cross-validated on the same folds: grids, ablations, learning curves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TypeAlias

from training.config import Config
from training.errors import DivergedError, TrainingError
from training.files import write_csv, write_json
from training.runs.cross_validation import cross_validate, over_folds
from training.runs.devices import Process
from training.runs.run import RunSpec
from training.runs.scores import RunScores, figures
from training.studies.compare import folds_of

BASE = "base"
TABLE = "results.csv"
DIVERGED = "diverged"
FIGURES = ("auc", "loss", "sensitivity", "specificity", "accuracy")

Changes: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """One variant, and its rows scored out of fold; None where its training diverged."""

    name: str
    changes: Changes
    scored: RunScores | None


def run_study(
    base: RunSpec, variants: Mapping[str, Changes], process: Process, folds: Sequence[int] = ()
) -> list[ExperimentResult]:
    """Cross-validate every variant of ``base`` into ``folder/NAME``, on all or some folds, and write ``results.csv``.

    Finished networks are not trained again. A variant that diverges is recorded as diverged, and the others go on.
    """
    changed = {name: base.config.changed(changes) for name, changes in variants.items()}  # checked before any training
    results: list[ExperimentResult] = []
    for name, config in changed.items():
        variant = replace(base, config=config, folder=base.folder / name)
        try:
            scored: RunScores | None = cross_validate(variant, process, folds)
        except DivergedError as error:
            scored = None
            if process.writes:
                write_json(variant.folder / f"{DIVERGED}.json", {"error": str(error)})
        results.append(ExperimentResult(name, variants[name], scored))
        if process.writes:
            write_results(base.folder / TABLE, results)
    return results


def write_results(path: Path, results: Iterable[ExperimentResult]) -> None:
    """Write one line for each variant, the lowest cross-entropy first, diverged ones last.

    Variants that an earlier command wrote there, with other numbers of images or other ablations, stay.
    """
    rows = [_row(result) for result in results]
    rows += _earlier(path, {row["variant"] for row in rows})
    rows.sort(key=lambda row: float(str(row.get("loss") or "inf")))
    columns = ["variant", "changes", "images"]
    for name in FIGURES:
        columns += [name, f"{name}_mean", f"{name}_sd"]
    write_csv(path, columns, rows)


def _earlier(path: Path, but: set[object]) -> list[dict[str, object]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file) if row["variant"] not in but]


def _row(result: ExperimentResult) -> dict[str, object]:
    row: dict[str, object] = {"variant": result.name, "changes": _text(result.changes)}
    if result.scored is None:
        return row | {"images": DIVERGED}
    whole = figures(result.scored)
    row |= {"images": len(result.scored.images)}
    row |= {name: f"{whole[name]:.4f}" for name in FIGURES if name in whole}
    folds = over_folds(folds_of(result.scored))
    for kind, values in (("mean", folds.mean), ("sd", folds.sd)):
        row |= {f"{name}_{kind}": f"{values[name]:.4f}" for name in FIGURES if name in values}
    return row


def _text(changes: Changes) -> str:
    return "; ".join(f"{key} = {value}" for key, value in changes.items())


def grid_of(config: Config) -> dict[str, Changes]:
    """Return every combination of the configuration's ``grid``. Raises TrainingError if it has none."""
    if not config.grid:
        raise TrainingError("the configuration has no [grid]")
    combinations = [dict(zip(config.grid, values, strict=True)) for values in product(*config.grid.values())]
    return {_folder_name(one): one for one in combinations}


def _folder_name(changes: Changes) -> str:
    return "-".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items()).replace("/", "_")


def ablations_of(config: Config, only: Sequence[str] = ()) -> dict[str, Changes]:
    """Return no change, and each of the ``ablate`` tables alone. Raises TrainingError for an unknown name."""
    unknown = sorted(set(only) - set(config.ablate))
    if unknown or not config.ablate:
        raise TrainingError(f"no [ablate.{unknown[0] if unknown else 'NAME'}]; there are {', '.join(config.ablate)}")
    return {BASE: {}, **{name: config.ablate[name] for name in only or config.ablate}}


def sizes_of(counts: Sequence[int]) -> dict[str, Changes]:
    """Return the changes that limit training to each number of images; 0 is all of them."""
    return {f"images={count or 'all'}": {"data.limit": count} for count in sorted(set(counts), key=lambda n: n or 1e18)}
