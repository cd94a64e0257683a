"""Learning rate of each step, and early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from training.config import ScheduleConfig


def rate_factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """Return the share of the learning rate at ``step`` (from 0): linear warm-up, then constant or half a cosine."""
    warm = schedule.warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if schedule.shape != "cosine":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


@dataclass(frozen=True)
class LossProgress:
    """Course of the validation loss. ``factor`` is the plateau schedule's share of the learning rate."""

    best: float = math.inf
    since_best: int = 0
    since_cut: int = 0
    factor: float = 1.0

    def after(self, loss: float, schedule: ScheduleConfig) -> LossProgress:
        """Return the progress after one more epoch: cut after more than ``patience`` epochs, as ReduceLROnPlateau."""
        if loss < self.best:
            return replace(self, best=loss, since_best=0, since_cut=0)
        waited = replace(self, since_best=self.since_best + 1, since_cut=self.since_cut + 1)
        if schedule.shape == "plateau" and waited.since_cut > schedule.patience:
            return replace(waited, factor=self.factor * schedule.factor, since_cut=0)
        return waited

    def should_stop(self, schedule: ScheduleConfig) -> bool:
        """Return True if training stops early."""
        return bool(schedule.stop_after) and self.since_best >= schedule.stop_after
