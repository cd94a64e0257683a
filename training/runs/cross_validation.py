"""Cross-validation: each patient is scored by the one network that never saw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.config import Config
from training.data.cases import TrainingCase, beside_cases, kept_apart, split_cases
from training.data.folds import assign_folds
from training.errors import TrainingError
from training.files import write_json
from training.runs import run as runs
from training.runs.devices import Process
from training.runs.run import RunSources
from training.runs.scores import PREDICTIONS, RunScores, figures, joined, summary
from training.runs.train import METRICS, decode, train_part
from triage.statistics.intervals import mean_and_sd


def cross_validate(
    config: Config,
    source: RunSources,
    folder: Path,
    cache: Path,
    process: Process,
    only: Sequence[int] = (),
) -> RunScores:
    """Train one network for each fold left out, into ``folder/foldN``; all rows scored out of fold.

    Finished folds are not trained again. ``only`` some folds are run, for a comparison. Rows of other splits take no
    part.
    """
    rows = source.cases()
    training, validation = split_cases(rows, config.data.model_copy(update={"carve": 0}))
    cases, beside = [*training, *validation], beside_cases(rows, config.data)
    folds = assign_folds(cases, config.data.folds, config.runtime.seed)
    numbers = _chosen(sorted(set(folds.tolist())), only)
    if process.writes:
        runs.describe(
            folder, "cross-validate", config, source, cache, training=[*cases, *beside], validation=[], scored=cases
        )
    pool = decode([*cases, *beside], config, cache, process)
    parts = []
    for number in numbers:
        inside, outside = (_where(cases, folds, number, same=same) for same in (False, True))
        trained = kept_apart([*inside, *beside], outside)
        seeded = config.changed({"runtime.seed": config.runtime.seed + number})
        scored = train_part(seeded, pool, trained, outside, folder / f"fold{number}", process, number)
        if scored is None:
            raise TrainingError(f"the first target is known for no row of fold {number}")
        parts.append(scored)
    whole = joined(parts)
    if process.writes:
        whole.write(folder / PREDICTIONS)
        write_json(folder / METRICS, {**summary(whole), "folds": over_folds(parts)})
    return whole


def over_folds(parts: Sequence[RunScores]) -> dict[str, Any]:
    """Mean and standard deviation over folds of each figure, as the paper reports them, beside each fold's own."""
    each = [figures(part) for part in parts]
    names = [name for name in each[0] if all(name in one for one in each) and name != "images"]
    means = {name: mean_and_sd([one[name] for one in each]) for name in names}
    return {
        "mean": {name: mean for name, (mean, _) in means.items()},
        "sd": {name: sd for name, (_, sd) in means.items()},
        "each": each,
    }


def _chosen(numbers: list[int], only: Sequence[int]) -> list[int]:
    if len(numbers) < 2:
        raise TrainingError(f"one fold, {numbers}, is no cross-validation")
    unknown = sorted(set(only) - set(numbers))
    if unknown:
        raise TrainingError(f"there is no fold {unknown[0]}; there are {numbers}")
    return sorted(set(only)) or numbers


def _where(
    cases: Sequence[TrainingCase], folds: np.ndarray[Any, np.dtype[np.int64]], number: int, *, same: bool
) -> list[TrainingCase]:
    return [case for case, fold in zip(cases, folds, strict=True) if (fold == number) == same]
