"""The training loop: epochs of augmented batches, with regular checkpoints.

The random numbers of a step depend on (seed, epoch, step) alone, so that a run that was killed and goes on ends with
the same weights as an undisturbed one, bit for bit on the same machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

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
    """Training data: cached ``images`` (m, r, r), and n examples of them.

    ``places`` (n,) are the examples' images, ``targets`` (n, outputs) have NaN for unknown, ``weights`` (n, outputs)
    are those of the loss.
    """

    images: Bytes
    places: Places
    targets: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class _Loop:
    """Fixed values of one training: data, configuration, folder of the run, and this process."""

    task: Task
    config: Config
    folder: Path
    process: Process

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_per_epoch(len(self.task.places), self.config.schedule)


def fit(
    network: nn.Module,
    task: Task,
    config: Config,
    folder: Path,
    process: Process,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``network`` and return it with the chosen weights. A killed run in ``folder`` goes on at its checkpoint.

    ``validate`` measures after each epoch; its ``validation_loss`` drives the plateau, early stopping and the choice of
    the best weights. Without it the last weights are kept.
    """
    schedule = config.schedule
    loop = _Loop(task, config, folder, process)
    state = TrainingState(network, config, process.device)
    state.resume(folder, process.device)
    if state.history and process.writes:
        _write_log(folder, state.history)  # a kill may have come between the checkpoint and the log
    while state.epoch < schedule.epochs and not state.progress.should_stop(schedule):
        _epoch(state, loop)
        _finish_epoch(state, loop, validate)
    chosen = state.scoring
    process.wait()
    if validate and schedule.choose == "best":
        chosen.load_state_dict(torch.load(folder / BEST, weights_only=True, map_location=process.device))
    return chosen


def steps_per_epoch(examples: int, schedule: ScheduleConfig) -> int:
    """Return the number of whole batches of one epoch. Raises TrainingError if there is none."""
    return _batches_per_pass(examples, schedule) * _passes(examples, schedule)


def _batches_per_pass(examples: int, schedule: ScheduleConfig) -> int:
    if examples < schedule.batch_size:
        raise TrainingError(
            f"{examples} training images are fewer than a batch: lower schedule.batch_size ({schedule.batch_size})"
        )
    return examples // schedule.batch_size


def _passes(examples: int, schedule: ScheduleConfig) -> int:
    """Return how many times an epoch shows each image."""
    return max(1, math.ceil(schedule.least_steps / (schedule.epochs * _batches_per_pass(examples, schedule))))


def _batches(examples: int, schedule: ScheduleConfig, generator: torch.Generator) -> list[Places]:
    """Return the examples of each step of an epoch."""
    whole = _batches_per_pass(examples, schedule) * schedule.batch_size
    orders = [torch.randperm(examples, generator=generator)[:whole] for _ in range(_passes(examples, schedule))]
    return list(torch.cat(orders).view(-1, schedule.batch_size).numpy())


def _epoch(state: TrainingState, loop: _Loop) -> None:
    task, process, runtime, schedule = loop.task, loop.process, loop.config.runtime, loop.config.schedule
    drawn = _batches(len(task.places), schedule, _generator(runtime.seed, state.epoch, 0))
    batches, steps = [batch[process.rank :: process.world] for batch in drawn], len(drawn)
    trained = _wrapped(state.network, process)
    trained.train()
    bar = tqdm(
        desc=f"epoch {state.epoch + 1}", total=steps, initial=state.step, unit="batch", disable=not process.writes
    )
    with bar:
        for chosen, stored in _ahead(task, batches[state.step :]):
            _step(state, trained, loop, _examples(task, chosen, stored, process.device))
            bar.update()
            if process.writes and state.step < steps and state.step % runtime.checkpoint_steps == 0:
                state.save(loop.folder)


def _ahead(task: Task, batches: list[Places]) -> Iterator[tuple[Places, Bytes]]:
    """Yield each batch with its images, read while the one before is computed."""

    def read(chosen: Places) -> tuple[Places, Bytes]:
        return chosen, task.images[task.places[chosen]]

    with ThreadPoolExecutor(1) as reader:
        following: Future[tuple[Places, Bytes]] | None = None
        for batch in batches:
            current, following = following, reader.submit(read, batch)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()


@dataclass(frozen=True, eq=False)
class _Examples:
    """Examples of one step on the device: levels (b, 1, r, r) between 0 and 1, targets and weights (b, outputs)."""

    levels: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def _examples(task: Task, chosen: Places, stored: Bytes, device: torch.device) -> _Examples:
    targets, weights = (torch.from_numpy(part[chosen]).to(device) for part in (task.targets, task.weights))
    return _Examples(to_levels(stored).to(device), targets, weights)


def _step(state: TrainingState, trained: nn.Module, loop: _Loop, examples: _Examples) -> None:
    config, process = loop.config, loop.process
    done, planned = state.epoch * loop.steps + state.step, config.schedule.epochs * loop.steps
    rate = config.optimizer.learning_rate * state.progress.factor * rate_factor(config.schedule, done, planned)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    generator = _generator(config.runtime.seed, state.epoch, 1 + state.step * process.world + process.rank)
    torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)))  # for dropout
    changes = config.augmentation.at(done / planned)
    shown = [vary(examples.levels, config.input.size, changes, generator) for _ in range(variations(config))]
    precision = _PRECISION.get(config.runtime.precision)
    with torch.autocast(process.device.type, precision, enabled=precision is not None):
        outputs = trained(standardise(torch.cat(shown), config.input.spec()))
    loss = _loss(outputs, examples, process.mean(known_targets(examples.targets)), config)
    _update(state, loss, config.optimizer.clip)
    state.step += 1
    state.loss_sum += loss.item()
    if state.averaged:
        move_average(state.averaged, state.network, min(config.schedule.averaging, (done + 1) / (done + 21)))


def _update(state: TrainingState, loss: torch.Tensor, largest_gradient: float) -> None:
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    if largest_gradient:
        state.scaler.unscale_(state.optimizer)
        _clip(state.network, largest_gradient)
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _clip(network: nn.Module, largest: float) -> None:
    """Clip gradients like torch's ``clip_grad_norm_``, without its second pass where there is nothing to clip."""
    weights = [weight for weight in network.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if norm > largest:
        nn.utils.clip_grads_with_norm_(weights, largest, norm)


def variations(config: Config) -> int:
    """Return the number of variations of each image in a step."""
    return 2 if config.agreement.share else 1


def _loss(
    outputs: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
    examples: _Examples,
    count: torch.Tensor,
    config: Config,
) -> torch.Tensor:
    targets, weights = examples.targets, examples.weights
    if isinstance(outputs, torch.Tensor):
        return batch_loss(outputs.float(), targets, weights, losses(config), count)
    logits, projections = outputs
    unlike = config.agreement.share * disagreement(projections, config.agreement)
    if not config.agreement.labels:
        return unlike + 0 * logits.float().sum()  # DistributedDataParallel wants a gradient of the head too
    return unlike + batch_loss(logits.float(), targets.repeat(2, 1), weights.repeat(2, 1), losses(config), 2 * count)


def _finish_epoch(state: TrainingState, loop: _Loop, validate: Callable[[nn.Module], dict[str, float]] | None) -> None:
    """Measure, keep the best weights, log, and only then count the epoch: a kill in between repeats the measuring."""
    folder, process = loop.folder, loop.process
    loss = state.loss_sum / loop.steps
    if not np.isfinite(loss):
        raise DivergedError(f"{folder}: the loss of epoch {state.epoch + 1} is {loss}: lower optimizer.learning_rate")
    measured = validate(state.scoring) if validate else {}
    if validate:
        improved = measured["validation_loss"] < state.progress.best
        state.progress = state.progress.after(measured["validation_loss"], loop.config.schedule)
        if improved and process.writes:
            save_tensors(folder / BEST, state.scoring.state_dict())
    state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
    rate = state.optimizer.param_groups[0]["lr"]
    state.history.append({"epoch": state.epoch, "loss": loss, "learning_rate": rate, **measured})
    if process.writes:
        state.save(folder)
        _write_log(folder, state.history)


def _write_log(folder: Path, history: list[dict[str, float]]) -> None:
    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in history))


def _wrapped(network: nn.Module, process: Process) -> nn.Module:
    if process.world == 1:
        return network
    return DistributedDataParallel(network, device_ids=[process.device] if process.device.type == "cuda" else None)


def losses(config: Config) -> tuple[LossConfig | None, ...]:
    """Return the loss of each output; None for a number, whose loss is the squared error."""
    return tuple(None if t.kind == "number" else t.loss or config.loss for t in config.targets.values())


def _generator(seed: int, epoch: int, draw: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) * 1_000_003 + draw)
