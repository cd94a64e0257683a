"""One network of several trainings that differ in their seed only, by the mean of their weights.

Networks that were fine-tuned from one start lie in one basin, so that the mean of their weights comes near to the mean
of their scores at the cost of one (Wortsman et al. 2022, model soups).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from training.errors import TrainingError
from training.files import write_json
from training.networks.network import Network
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.run import EARLIER, RECORD, WEIGHTS, RunSpec, TrainingRun, load_network, save_network
from training.runs.scores import PREDICTIONS, RunScores
from training.runs.train import train
from training.runs.training_images import IMAGES

AVERAGE = "average.json"
MEAN_OF_SCORES = "mean-of-scores.csv"


def average(runs: Sequence[TrainingRun], folder: Path, process: Process) -> RunScores | None:
    """Write a run of the mean networks of ``runs`` into ``folder``, and return its held-out rows, scored.

    In a cross-validation the mean is taken fold by fold, so that no fold's mean trained on its own patients.
    ``mean-of-scores.csv`` in the same folder has the mean of the trainings' own logits, for comparison. Raises
    TrainingError for runs that differ in more than the seed, and for runs that did not start from one earlier run: the
    mean of their weights would be useless.
    """
    first = runs[0]
    seeds = _check_alike(runs)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECORD).exists():
        for name in (RECORD, IMAGES):
            shutil.copy(first.folder / name, folder / name)
    write_json(folder / AVERAGE, {"seeds": seeds})
    for member in first.members:
        place = member.relative_to(first.folder)
        networks = [load_network(run.folder / place) for run in runs]
        (folder / place).mkdir(parents=True, exist_ok=True)
        save_network(folder / place, mean_of(networks), first.config)
    mean = RunSpec(first.config, first.source, folder, first.cache)
    if first.kind == "train":
        return train(mean, process)
    scored = cross_validate(mean, process, _folds(first))
    _mean_of_scores(runs).write(folder / MEAN_OF_SCORES)
    return scored


def mean_of(networks: Sequence[Network]) -> Network:
    """Return the first network, with the mean of every weight and of every running statistic."""
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.dtype.is_floating_point else value
        for name, value in states[0].items()
    }
    networks[0].load_state_dict(mean)
    return networks[0]


def averaged_seeds(run: TrainingRun) -> str:
    """Return the record of the seeds in the run's folder; empty for a run that is not an average."""
    path = run.folder / AVERAGE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _check_alike(runs: Sequence[TrainingRun]) -> list[int]:
    """Return the seeds of the runs. Raises TrainingError where the runs cannot be averaged."""
    first = runs[0]
    seeds = [run.config.runtime.seed for run in runs]
    if len(set(seeds)) < len(seeds) or len(seeds) < 2:
        raise TrainingError(f"an average needs two runs at least, each with its own runtime.seed, not {seeds}")
    if not first.config.model.weights.startswith(EARLIER):
        raise TrainingError(f"{first.folder} did not start from an earlier run: the mean of such weights is no network")
    for run in runs:
        if _but_for_the_seed(run) != _but_for_the_seed(first):
            raise TrainingError(f"{run.folder} and {first.folder} differ in more than the seed")
        missing = [
            one.name for one in first.members if not (run.folder / one.relative_to(first.folder) / WEIGHTS).exists()
        ]
        if missing:
            raise TrainingError(f"{run.folder} is not finished: {missing[0]} has no network")
    return seeds


def _but_for_the_seed(run: TrainingRun) -> tuple[object, ...]:
    return run.kind, run.config.changed({"runtime.seed": 0}), run.source, run.training_patients, len(run.members)


def _folds(run: TrainingRun) -> list[int]:
    return [int(member.name.removeprefix("fold")) for member in run.members]


def _mean_of_scores(runs: Sequence[TrainingRun]) -> RunScores:
    tables = [RunScores.read(run.folder / PREDICTIONS) for run in runs]
    if any(table.images != tables[0].images for table in tables):
        raise TrainingError("the runs did not score the same images")
    return replace(tables[0], logits=np.mean([table.logits for table in tables], axis=0))
