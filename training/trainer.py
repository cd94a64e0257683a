"""One training run: epochs of varied batches, an averaged copy of the weights, and a checkpoint after every epoch."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from training import images
from training.images import Bytes

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. ``weights`` are the outputs' shares of the loss, ``positive`` those of their positives."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    averaging: float = 0.998
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Task:
    """What to learn: images (n, s, s), targets (n, outputs) with NaN for unknown, and weights of the same shape.

    ``regression`` marks outputs that are numbers and not classes.
    """

    images: Bytes
    targets: Floats
    weights: Floats
    regression: npt.NDArray[np.bool_]


def fit(
    model: nn.Module,
    task: Task,
    schedule: Schedule,
    size: int,
    run: Path,
    report: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Train ``model`` and return its averaged copy. Resumes from ``run`` after a kill, at the last whole epoch.

    ``size`` is that of the model input. ``report`` measures the averaged model after each epoch; what it returns is
    logged to ``run/log.jsonl``.
    """
    run.mkdir(parents=True, exist_ok=True)
    fast = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    state = _State(fast, schedule, len(task.images) // schedule.batch_size)
    state.resume(run / "last.pt")
    while state.epoch < schedule.epochs:
        loss = _epoch(state, task, schedule, size)
        state.epoch += 1
        state.save(run / "last.pt")
        line = {"epoch": state.epoch, "loss": loss, **(report(state.averaged) if report else {})}
        with (run / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
    return state.averaged


class _State:
    """Everything that a resumed run needs."""

    def __init__(self, model: nn.Module, schedule: Schedule, batches: int) -> None:
        if batches == 0:
            raise ValueError("fewer images than one batch")
        self.model = model
        self.averaged = copy.deepcopy(model)
        self.optimizer = torch.optim.AdamW(model.parameters(), weight_decay=schedule.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, schedule.learning_rate, total_steps=schedule.epochs * batches, pct_start=0.15
        )
        self.epoch = 0
        self.step = 0

    def resume(self, file: Path) -> None:
        if not file.exists():
            return
        saved = torch.load(file, weights_only=True)
        for name in ("model", "averaged", "optimizer", "scheduler"):
            getattr(self, name).load_state_dict(saved[name])
        self.epoch, self.step = saved["epoch"], saved["step"]

    def save(self, file: Path) -> None:
        parts = {n: getattr(self, n).state_dict() for n in ("model", "averaged", "optimizer", "scheduler")}
        temporary = file.with_suffix(".part")
        torch.save({**parts, "epoch": self.epoch, "step": self.step}, temporary)
        temporary.replace(file)


def _epoch(state: _State, task: Task, schedule: Schedule, size: int) -> float:
    # Seeded by the epoch, so that a resumed run sees what an unbroken one would have seen.
    generator = torch.Generator().manual_seed(schedule.seed * 10_007 + state.epoch)
    order = torch.randperm(len(task.images), generator=generator).numpy()
    batches = len(order) // schedule.batch_size
    state.model.train()
    total = 0.0
    for start in tqdm(range(0, batches * schedule.batch_size, schedule.batch_size), desc=f"epoch {state.epoch + 1}"):
        chosen = order[start : start + schedule.batch_size]
        varied = images.vary(images.to_levels(task.images[chosen]), size, generator)
        loss = _loss(state.model(standardise(varied)), task, chosen, schedule.label_smoothing)
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.model.parameters(), 5.0)
        state.optimizer.step()
        state.scheduler.step()
        state.step += 1
        _average(state.averaged, state.model, min(schedule.averaging, state.step / (state.step + 20)))
        total += loss.item()
    return total / batches


def standardise(levels: torch.Tensor) -> torch.Tensor:
    """Levels between 0 and 1 to the model input, with PreprocessSpec's default mean and deviation."""
    return ((levels - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)


def _loss(logits: torch.Tensor, task: Task, chosen: npt.NDArray[np.int64], smoothing: float) -> torch.Tensor:
    target = torch.from_numpy(task.targets[chosen])
    known = ~target.isnan()
    target = target.nan_to_num()
    smooth = target.clamp(0, 1) * (1 - smoothing) + smoothing / 2
    classes = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    each = torch.where(torch.from_numpy(task.regression), (logits - target) ** 2, classes)
    weighted = each * torch.from_numpy(task.weights[chosen]) * known
    return (weighted.sum(0) / known.sum(0).clamp(min=1)).sum()


def _average(averaged: nn.Module, model: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for old, new in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)


@torch.no_grad()
def predict(models: Sequence[nn.Module], stored: Bytes, output: int, batch_size: int = 64) -> Floats:
    """Mean logit over ``models``, and over image and mirror image, of one output, (n,); images of the model's size."""
    for model in models:
        model.eval()
    pieces = []
    for start in range(0, len(stored), batch_size):
        batch = standardise(images.to_levels(stored[start : start + batch_size]))
        views = (batch, batch.flip(3))
        pieces.append(torch.stack([model(view)[:, output] for model in models for view in views]).mean(0))
    return np.asarray(torch.cat(pieces).numpy())
