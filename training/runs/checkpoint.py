"""State of a training run, from which a killed run goes on."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from training.config import Config, OptimizerConfig
from training.errors import TrainingError
from training.files import save_tensors
from training.runs.learning_rate import LossProgress

LAST = "last.pt"


class TrainingState:
    """Weights, their average, the optimizer, and how far the run is: ``step`` steps into ``epoch``."""

    def __init__(self, network: nn.Module, config: Config, device: torch.device) -> None:
        self.network: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.averaged = copy.deepcopy(self.network) if config.schedule.averaging else None
        self.optimizer = make_optimizer(self.network, config.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.runtime.precision == "fp16")
        self.progress = LossProgress()
        self.epoch = 0
        self.step = 0
        self.loss_sum = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def scoring(self) -> nn.Module:
        """Network that is validated and shipped: the average where weights are averaged."""
        return self.network if self.averaged is None else self.averaged

    def save(self, folder: Path) -> None:
        """Write ``last.pt``; the file is complete or unchanged."""
        save_tensors(
            folder / LAST,
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict() if self.averaged else None,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "progress": asdict(self.progress),
                "epoch": self.epoch,
                "step": self.step,
                "loss_sum": self.loss_sum,
                "history": self.history,
            },
        )

    def resume(self, folder: Path, device: torch.device) -> None:
        """Read ``last.pt``, if there is one. Raises TrainingError for a checkpoint of another network."""
        if not (folder / LAST).exists():
            return
        saved = torch.load(folder / LAST, weights_only=True, map_location=device)
        try:
            self.network.load_state_dict(saved["network"])
            if self.averaged:
                self.averaged.load_state_dict(saved["averaged"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(f"{folder / LAST} is of another network: give --out another folder") from error
        self.scaler.load_state_dict(saved["scaler"])
        self.progress = LossProgress(**saved["progress"])
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.loss_sum, self.history = saved["loss_sum"], saved["history"]


def checkpoint_bytes(network: nn.Module) -> int:
    """Return the bytes of a run's files at their largest.

    These are a checkpoint and its successor, each with weights, their average and two moments; the best weights and
    their successor; and the weights that ship.
    """
    return 4 * (2 * 4 + 3) * sum(weight.numel() for weight in network.parameters())


def make_optimizer(network: nn.Module, options: OptimizerConfig) -> torch.optim.Optimizer:
    """Return SGD with momentum, or AdamW; fused, which takes half the time of torch's loop over the weights."""
    parameters, rate, decay = network.parameters(), options.learning_rate, options.weight_decay
    if options.name == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=rate, momentum=options.momentum, weight_decay=decay, fused=True)


@torch.no_grad()
def move_average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Move each averaged weight towards its own, by 1 - ``keep``; counters are copied."""
    old, new = list(averaged.state_dict().values()), list(network.state_dict().values())
    floats = [place for place, tensor in enumerate(old) if tensor.dtype.is_floating_point]
    torch._foreach_lerp_([old[place] for place in floats], [new[place] for place in floats], 1 - keep)
    for place in set(range(len(old))) - set(floats):
        old[place].copy_(new[place])
