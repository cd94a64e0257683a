"""The distribution of reading times."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from triage.setting_types import Section
from triage.simulation.time_units import Minutes


class ReadingTime(Section):
    """The distribution of minutes from opening a study to its report."""

    distribution: Literal["lognormal", "gamma", "exponential", "constant", "measured"] = "lognormal"
    mean_minutes: float = Field(0.0, ge=0, allow_inf_nan=False)
    sd_minutes: float = Field(0.0, ge=0, allow_inf_nan=False)
    measured_minutes: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.distribution == "measured":
            if not self.measured_minutes or min(self.measured_minutes) <= 0:
                raise ValueError("measured needs measured_minutes, all of them positive")
        elif self.mean_minutes <= 0 or self.measured_minutes:
            raise ValueError(f"{self.distribution} needs mean_minutes (positive), and measured_minutes is not for it")
        if (self.distribution in ("lognormal", "gamma")) != (self.sd_minutes > 0):
            raise ValueError("sd_minutes is for lognormal and gamma, and they need it")
        return self

    @property
    def mean(self) -> float:
        """Expected minutes."""
        return float(np.mean(self.measured_minutes)) if self.measured_minutes else self.mean_minutes

    def draw(self, count: int, rng: np.random.Generator) -> Minutes:
        """Draw ``count`` independent reading times."""
        mean = self.mean_minutes
        if self.distribution == "measured":
            return rng.choice(np.asarray(self.measured_minutes, dtype=np.float64), count)
        if self.distribution == "constant":
            return np.full(count, mean)
        if self.distribution == "exponential":
            return rng.exponential(mean, count)
        variation = (self.sd_minutes / mean) ** 2
        if self.distribution == "gamma":
            return rng.gamma(1.0 / variation, mean * variation, count)
        spread = np.log1p(variation)
        return rng.lognormal(np.log(mean) - spread / 2, np.sqrt(spread), count)
