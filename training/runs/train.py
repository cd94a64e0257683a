"""Training of one network, on one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.config import Config
from training.data.cases import (
    CaseSplit,
    TrainingCase,
    check_patients_apart,
    limited,
    never_held_out_cases,
    split_cases,
    without_held_out,
)
from training.data.images import Bytes, load
from training.data.targets import check_learnable, target_matrix, weight_matrix
from training.data.wrong_labels import drawn, record, turned
from training.errors import DivergedError, TrainingError
from training.files import check_room, remove_abandoned, write_json
from training.networks.depthwise import with_fast_depthwise
from training.networks.self_supervision import BarlowTwins
from training.runs import run as runs
from training.runs.checkpoint import checkpoint_bytes
from training.runs.devices import Process, check_memory, check_precision
from training.runs.loop import Task, fit, steps_per_epoch, variations
from training.runs.predict import predict
from training.runs.run import RunCases, RunSpec, TrainingRun
from training.runs.scores import OUTPUTS, PREDICTIONS, RunScores, figures, summary, write_outputs
from training.runs.self_training import filled

METRICS = "metrics.json"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pool:
    """Decoded rows: ``large`` to cut training's crops from, ``exact`` as the service prepares them for the network."""

    cases: tuple[TrainingCase, ...]
    large: Bytes
    exact: Bytes

    def places(self, cases: Sequence[TrainingCase]) -> list[int]:
        """Return the positions of ``cases`` in the pool."""
        position = {case.image: number for number, case in enumerate(self.cases)}
        return [position[case.image] for case in cases]


def train(run: RunSpec, process: Process) -> RunScores | None:
    """Train one network, and return its scores of the rows that validate; None without any.

    A killed run goes on at its last checkpoint. Raises TrainingError.
    """
    data = run.config.data
    cases = run.source.cases()
    labels = run.config.agreement.labels
    training, validation = split_cases(cases, data if labels else data.model_copy(update={"carve": 0}))
    validation = validation if labels else []
    training = without_held_out([*training, *never_held_out_cases(cases, data)], validation)
    if process.writes:
        runs.describe(run, "train", RunCases(training, validation, scored=validation))
    pool = decode([*training, *validation], run, process)
    return train_part(run.config, pool, CaseSplit(training, validation), run.folder, process)


def decode(cases: Sequence[TrainingCase], run: RunSpec, process: Process) -> Pool:
    """Return every row decoded, from the cache where it is there; bad images are found before the first epoch."""
    view = run.config.input
    for first in (process.writes, not process.writes):  # the others read what the first has cached
        if first:
            large, exact = (load(cases, spec, run.cache) for spec in (view.cached_spec(), view.spec()))
        process.wait()
    return Pool(tuple(cases), large, exact)


def train_part(config: Config, pool: Pool, split: CaseSplit, folder: Path, process: Process) -> RunScores | None:
    """Train on some rows of ``pool`` and score others, for the first target. Return None if none validates."""
    check_patients_apart(split.training, split.held_out)
    split = replace(split, training=limited(split.training, config.data.limit, config.runtime.seed))
    held_out = _held_out(config, pool, split, process)
    if not (folder / runs.WEIGHTS).exists():
        task = _task(config, pool, split, process)
        network = _trained(config, task, folder, process, held_out)
        if process.writes and config.data.wrong_labels:
            record(folder, split.training, _wrong(config, split))
        if process.writes:
            runs.save_network(folder, network, config)
        process.wait()
    if held_out is None:
        return None
    logits = held_out.logits(runs.load_network(folder).to(process.device))
    scored = held_out.scored(logits)
    if process.writes:
        scored.write(folder / PREDICTIONS)
        write_outputs(folder / OUTPUTS, held_out.cases, config.outputs, logits, split.fold)
        write_json(folder / METRICS, summary(scored))
    return scored


def _trained(config: Config, task: Task, folder: Path, process: Process, held_out: _HeldOut | None) -> nn.Module:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.runtime.seed)
    network = runs.start_network(config).to(process.device)
    if process.device.type == "cpu":
        with_fast_depthwise(network)
    _check_runs(network, config, process)
    if process.writes:
        remove_abandoned(folder)
        check_room(folder, checkpoint_bytes(network), "checkpoints and weights", "give --out a folder with more room")
    learner: nn.Module = BarlowTwins(network, config.agreement.width) if config.agreement.share else network
    validate = held_out.figures if held_out and config.schedule.validate_after == "each" else None
    fitted = fit(learner, task, config, folder, process, validate)
    return fitted.network if isinstance(fitted, BarlowTwins) else fitted


def _check_runs(network: nn.Module, config: Config, process: Process) -> None:
    """Raise TrainingError unless the network takes images of this size and a step fits into memory."""
    view, batch = config.input, config.schedule.batch_size
    shown = batch * variations(config)
    check_precision(config.runtime.precision, process)
    try:
        check_memory(network, view.size, view.resize, shown, process)
    except RuntimeError as error:
        detail = str(error).splitlines()[0]
        raise TrainingError(f"{config.model.architecture} does not take {view.size} px: {detail}") from error
    if batch % process.world:
        raise TrainingError(f"schedule.batch_size {batch} cannot be shared by {process.world} processes")


def _task(config: Config, pool: Pool, split: CaseSplit, process: Process) -> Task:
    repeated = [case for case in split.training for _ in range(config.data.repeat.get(case.source, 1))]
    places = np.array(pool.places(repeated))
    known = turned(target_matrix(repeated, config.targets), repeated, _wrong(config, split), config.targets)
    targets = filled(known, pool.exact[places], config, split, process)
    check_learnable(repeated, targets, config.targets)
    steps_per_epoch(len(repeated), config.schedule)
    weights = weight_matrix(repeated, targets, config.targets, config.balance)
    return Task(pool.large, places, targets, weights)


def _wrong(config: Config, split: CaseSplit) -> frozenset[Path]:
    return drawn(split.training, config.data.wrong_labels, config.runtime.seed)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Held-out rows by which a network is measured: those whose first target is known."""

    cases: tuple[TrainingCase, ...]
    truth: Floats
    images: Bytes
    config: Config
    process: Process
    fold: int

    def logits(self, network: nn.Module) -> Floats:
        """Return the logits of every output (n, outputs). Raises DivergedError."""
        logits = predict([network], self.images, self.config.input, self.process)
        if not np.isfinite(logits).all():
            raise DivergedError("the network's scores are not finite any more: lower optimizer.learning_rate")
        return logits

    def scored(self, logits: Floats) -> RunScores:
        """Return the scores of the first output."""
        return RunScores.of(self.cases, self.truth, logits[:, 0], self.fold)

    def figures(self, network: nn.Module) -> dict[str, float]:
        """Return the figures of ``network`` for the log of the run."""
        return {f"validation_{name}": value for name, value in figures(self.scored(self.logits(network))).items()}


def _held_out(config: Config, pool: Pool, split: CaseSplit, process: Process) -> _HeldOut | None:
    labels = target_matrix(split.held_out, config.targets)[:, 0]
    known = [case for case, label in zip(split.held_out, labels, strict=True) if not np.isnan(label)]
    if not known:
        return None
    images = pool.exact[pool.places(known)]
    return _HeldOut(tuple(known), labels[~np.isnan(labels)], images, config, process, split.fold)


def score_cases(
    run: TrainingRun, members: Sequence[Path], cases: Sequence[TrainingCase], process: Process
) -> RunScores:
    """Return ``cases`` scored by the mean logit of ``members``; the label is the first target's column."""
    images = load(cases, run.config.input.spec(), run.cache)
    networks = [runs.load_network(member).to(process.device) for member in members]
    logits = predict(networks, images, run.config.input, process)[:, 0]
    first = next(iter(run.config.targets.values())).model_copy(update={"source": ""})
    return RunScores.of(cases, target_matrix(cases, {"first": first})[:, 0], logits)
