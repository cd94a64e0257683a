"""One training run: epochs of varied batches, with a checkpoint often enough that a kill costs little.

All chance of a step is drawn from (seed, epoch, step), so that a run that was killed and goes on ends with the same
weights as one that was not, bit for bit on the same machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from training.config import Config, LossConfig, ScheduleConfig
from training.data.augmentation import vary
from training.data.images import Bytes, standardise, to_levels
from training.errors import DivergedError, TrainingError
from training.files import save_tensors, write_text
from training.networks.losses import batch_loss, known_targets
from training.networks.self_supervision import disagreement
from training.runs.checkpoint import TrainingState, move_average
from training.runs.devices import Process
from training.runs.learning_rate import rate_factor

LOG = "log.jsonl"
BEST = "best.pt"

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class Task:
    """What to learn: cached ``images`` (m, r, r); and for each of n examples its place among them, its targets
    (n, outputs) with NaN for unknown, and their weights (n, outputs).
    """

    images: Bytes
    places: Places
    targets: Floats
    weights: Floats


def fit(
    network: nn.Module,
    task: Task,
    config: Config,
    folder: Path,
    process: Process,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``network`` and return it with the chosen weights. Goes on where ``folder`` was left by a kill.

    ``validate`` measures after each epoch; its ``validation_loss`` drives the plateau, early stopping and the choice of
    the best weights. Without it the last weights are kept.
    """
    schedule = config.schedule
    state = TrainingState(network, config, process.device)
    state.resume(folder, process.device)
    if state.history and process.writes:
        _write_log(folder, state.history)  # a kill may have come between the checkpoint and the log
    while state.epoch < schedule.epochs and not state.progress.should_stop(schedule):
        _epoch(state, task, config, folder, process)
        _finish_epoch(state, task, config, folder, process, validate)
    chosen = state.scoring
    process.wait()
    if validate and schedule.choose == "best":
        chosen.load_state_dict(torch.load(folder / BEST, weights_only=True, map_location=process.device))
    return chosen


def steps_per_epoch(examples: int, schedule: ScheduleConfig) -> int:
    """Whole batches of one epoch; TrainingError if there is none."""
    return _batches_per_pass(examples, schedule) * _passes(examples, schedule)


def _batches_per_pass(examples: int, schedule: ScheduleConfig) -> int:
    if examples < schedule.batch_size:
        raise TrainingError(
            f"{examples} training images are fewer than a batch: lower schedule.batch_size ({schedule.batch_size})"
        )
    return examples // schedule.batch_size


def _passes(examples: int, schedule: ScheduleConfig) -> int:
    """How often an epoch shows each image."""
    return max(1, math.ceil(schedule.least_steps / (schedule.epochs * _batches_per_pass(examples, schedule))))


def _batches(examples: int, schedule: ScheduleConfig, generator: torch.Generator) -> list[Places]:
    """The examples of each step of an epoch."""
    whole = _batches_per_pass(examples, schedule) * schedule.batch_size
    orders = [torch.randperm(examples, generator=generator)[:whole] for _ in range(_passes(examples, schedule))]
    return list(torch.cat(orders).view(-1, schedule.batch_size).numpy())


def _epoch(state: TrainingState, task: Task, config: Config, folder: Path, process: Process) -> None:
    runtime, schedule = config.runtime, config.schedule
    drawn = _batches(len(task.places), schedule, _generator(runtime.seed, state.epoch, 0))
    batches, steps = [batch[process.rank :: process.world] for batch in drawn], len(drawn)
    trained = _wrapped(state.network, process)
    trained.train()
    bar = tqdm(
        desc=f"epoch {state.epoch + 1}", total=steps, initial=state.step, unit="batch", disable=not process.writes
    )
    with bar:
        for chosen, stored in _ahead(task, batches[state.step :]):
            _step(state, trained, task, chosen, stored, config, process)
            bar.update()
            if process.writes and state.step < steps and state.step % runtime.checkpoint_steps == 0:
                state.save(folder)


def _ahead(task: Task, batches: list[Places]) -> Iterator[tuple[Places, Bytes]]:
    """Each batch with its images, read while the one before is computed."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(lambda chosen: task.images[task.places[chosen]], batch) for batch in batches[:1]]
        for number, chosen in enumerate(batches):
            stored = coming.pop().result()
            for following in batches[number + 1 : number + 2]:
                coming.append(reader.submit(lambda chosen: task.images[task.places[chosen]], following))
            yield chosen, stored


def _step(
    state: TrainingState,
    trained: nn.Module,
    task: Task,
    chosen: Places,
    stored: Bytes,
    config: Config,
    process: Process,
) -> None:
    schedule, device = config.schedule, process.device
    steps = steps_per_epoch(len(task.places), schedule)
    done = state.epoch * steps + state.step
    for group in state.optimizer.param_groups:
        group["lr"] = (
            config.optimizer.learning_rate
            * state.progress.factor
            * rate_factor(schedule, done, schedule.epochs * steps)
        )
    generator = _generator(config.runtime.seed, state.epoch, 1 + state.step * process.world + process.rank)
    torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)))  # for dropout
    changes = config.augmentation.at(done / (schedule.epochs * steps))
    levels = to_levels(stored).to(device)
    shown = [vary(levels, config.input.size, changes, generator) for _ in range(variations(config))]
    targets, weights = (torch.from_numpy(part[chosen]).to(device) for part in (task.targets, task.weights))
    precision = _PRECISION.get(config.runtime.precision)
    with torch.autocast(device.type, precision, enabled=precision is not None):
        outputs = trained(standardise(torch.cat(shown), config.input.spec()))
    loss = _loss(outputs, targets, weights, process.mean(known_targets(targets)), config)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    if config.optimizer.clip:
        state.scaler.unscale_(state.optimizer)
        _clip(state.network, config.optimizer.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.step += 1
    state.loss_sum += loss.item()
    if state.averaged:
        move_average(state.averaged, state.network, min(schedule.averaging, (done + 1) / (done + 21)))


def _clip(network: nn.Module, largest: float) -> None:
    """As torch's ``clip_grad_norm_``, which passes over all gradients once more where there is nothing to clip."""
    weights = [weight for weight in network.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if norm > largest:
        nn.utils.clip_grads_with_norm_(weights, largest, norm)


def variations(config: Config) -> int:
    """In how many variations a step shows each image."""
    return 2 if config.agreement.share else 1


def _loss(
    outputs: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
    targets: torch.Tensor,
    weights: torch.Tensor,
    count: torch.Tensor,
    config: Config,
) -> torch.Tensor:
    if isinstance(outputs, torch.Tensor):
        return batch_loss(outputs.float(), targets, weights, losses(config), count)
    logits, projections = outputs
    unlike = config.agreement.share * disagreement(projections, config.agreement)
    if not config.agreement.labels:
        return unlike + 0 * logits.float().sum()  # DistributedDataParallel wants a gradient of the head too
    return unlike + batch_loss(logits.float(), targets.repeat(2, 1), weights.repeat(2, 1), losses(config), 2 * count)


def _finish_epoch(
    state: TrainingState,
    task: Task,
    config: Config,
    folder: Path,
    process: Process,
    validate: Callable[[nn.Module], dict[str, float]] | None,
) -> None:
    """Measure, keep the best weights, log, and only then move on: a kill in between repeats the measuring."""
    loss = state.loss_sum / steps_per_epoch(len(task.places), config.schedule)
    if not np.isfinite(loss):
        raise DivergedError(f"{folder}: the loss of epoch {state.epoch + 1} is {loss}: lower optimizer.learning_rate")
    measured = validate(state.scoring) if validate else {}
    if validate:
        improved = measured["validation_loss"] < state.progress.best
        state.progress = state.progress.after(measured["validation_loss"], config.schedule)
        if improved and process.writes:
            save_tensors(folder / BEST, state.scoring.state_dict())
    state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
    rate = state.optimizer.param_groups[0]["lr"]
    state.history.append({"epoch": state.epoch, "loss": loss, "learning_rate": rate, **measured})
    if process.writes:
        state.save(folder)
        _write_log(folder, state.history)


def _write_log(folder: Path, history: list[dict[str, Any]]) -> None:
    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in history))


def _wrapped(network: nn.Module, process: Process) -> nn.Module:
    if process.world == 1:
        return network
    return DistributedDataParallel(network, device_ids=[process.device] if process.device.type == "cuda" else None)


def losses(config: Config) -> tuple[LossConfig | None, ...]:
    """Of each output; None for a number."""
    return tuple(None if t.kind == "number" else t.loss or config.loss for t in config.targets.values())


def _generator(seed: int, epoch: int, draw: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) * 1_000_003 + draw)
