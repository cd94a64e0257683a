"""Cross-validation: each patient is scored by the one network that did not train on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import Config
from training.data.cases import CaseSplit, TrainingCase, never_held_out_cases, split_cases, without_held_out
from training.data.folds import assign_folds
from training.errors import TrainingError
from training.files import write_json
from training.runs.devices import Process
from training.runs.run import RunCases, RunSources, RunSpec, describe
from training.runs.scores import PREDICTIONS, RunScores, figures, joined, summary
from training.runs.train import METRICS, decode, train_part
from triage.statistics.intervals import mean_and_sd


def cross_validate(run: RunSpec, process: Process, only: Sequence[int] = ()) -> RunScores:
    """Train one network for each fold left out, into ``folder/foldN``, and return all rows scored out of fold.

    Finished folds are not trained again. With ``only``, these folds alone are trained; returned and written are the
    rows of all that are finished. Rows of other splits take no part. Raises TrainingError.
    """
    config = run.config
    rows = run.source.cases()
    cases, folds = _assigned(rows, config)
    extra = never_held_out_cases(rows, config.data)
    numbers = _chosen(sorted(set(folds.tolist())), only)
    if process.writes:
        describe(run, "cross-validate", RunCases(training=[*cases, *extra], scored=cases))
    pool = decode([*cases, *extra], run, process)
    parts = _finished(run.folder, set(folds.tolist()) - set(numbers))
    for number in numbers:
        inside, outside = (_where(cases, folds, number, same=same) for same in (False, True))
        split = CaseSplit(without_held_out([*inside, *extra], outside), outside, number)
        seeded = config.changed({"runtime.seed": config.runtime.seed + number})
        scored = train_part(seeded, pool, split, run.folder / f"fold{number}", process)
        if scored is None:
            raise TrainingError(f"the first target is known for no row of fold {number}")
        parts[number] = scored
    in_order = [parts[number] for number in sorted(parts)]
    whole = joined(in_order)
    if process.writes:
        whole.write(run.folder / PREDICTIONS)
        write_json(run.folder / METRICS, {**summary(whole), "folds": asdict(over_folds(in_order))})
    return whole


def folds_of(source: RunSources, config: Config) -> frozenset[int]:
    """Return the numbers of all folds of a cross-validation. Raises TrainingError for rows that cannot be read."""
    return frozenset(_assigned(source.cases(), config)[1].tolist())


def _assigned(rows: Sequence[TrainingCase], config: Config) -> tuple[list[TrainingCase], npt.NDArray[np.int64]]:
    """Return the rows of training and validation, and the fold of each."""
    training, validation = split_cases(rows, config.data.model_copy(update={"carve": 0}))
    cases = [*training, *validation]
    return cases, assign_folds(cases, config.data.folds, config.runtime.seed)


def _finished(folder: Path, numbers: Collection[int]) -> dict[int, RunScores]:
    """Return the scores of those of the folds ``numbers`` that were trained before."""
    tables = {number: folder / f"fold{number}" / PREDICTIONS for number in numbers}
    return {number: RunScores.read(table) for number, table in tables.items() if table.exists()}


@dataclass(frozen=True)
class FoldFigures:
    """Mean and standard deviation over folds of each figure, as the paper reports them, and each fold's figures."""

    mean: dict[str, float]
    sd: dict[str, float]
    each: list[dict[str, float]]


def over_folds(parts: Sequence[RunScores]) -> FoldFigures:
    """Return the figures that every part has, over the parts."""
    each = [figures(part) for part in parts]
    names = [name for name in each[0] if all(name in one for one in each) and name != "images"]
    means = {name: mean_and_sd([one[name] for one in each]) for name in names}
    return FoldFigures(
        mean={name: mean for name, (mean, _) in means.items()},
        sd={name: sd for name, (_, sd) in means.items()},
        each=each,
    )


def _chosen(numbers: list[int], only: Sequence[int]) -> list[int]:
    if len(numbers) < 2:
        raise TrainingError(f"a cross-validation needs two folds at least, there is {numbers}")
    unknown = sorted(set(only) - set(numbers))
    if unknown:
        raise TrainingError(f"there is no fold {unknown[0]}; there are {numbers}")
    return sorted(set(only)) or numbers


def _where(
    cases: Sequence[TrainingCase], folds: npt.NDArray[np.int64], number: int, *, same: bool
) -> list[TrainingCase]:
    return [case for case, fold in zip(cases, folds, strict=True) if (fold == number) == same]
