"""A run's configuration: data in TOML, unknown keys are errors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from training.cohorts import CohortError
from training.trainer import Schedule
from triage.radiograph.preprocess import PreprocessSpec


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleConfig(_Part):
    """See trainer.Schedule."""

    epochs: int
    batch_size: int = 32
    learning_rate: float
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    averaging: float = 0.998
    seed: int = 0

    def schedule(self, seed: int = 0) -> Schedule:
        """The schedule, its seed moved by ``seed``."""
        return Schedule(**{**self.model_dump(), "seed": self.seed + seed})


class Config(_Part):
    """One run. ``cached_size`` is that of the cached images, a little larger than ``size``, to cut crops from."""

    recipe: Literal["pretrain", "expert_folds"]
    architecture: str
    size: int
    cached_size: int
    schedule: ScheduleConfig
    initialise: str = ""

    def spec(self) -> PreprocessSpec:
        """What the service does before this model."""
        return PreprocessSpec(size=self.size)

    def cached_spec(self) -> PreprocessSpec:
        """The same at the cached size."""
        return PreprocessSpec(size=self.cached_size)


def load_config(path: Path) -> Config:
    """The configuration in a TOML file; CohortError that names a wrong or unknown key."""
    try:
        return Config.model_validate(tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        detail = error.errors()[0] if isinstance(error, ValidationError) else error
        raise CohortError(f"{path}: {detail}") from error
