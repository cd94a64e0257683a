"""The table of torchxrayvision's published weights (weights.toml): outputs and operating points."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.errors import TrainingError

TABLE = Path(__file__).with_name("weights.toml")


class _TablePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedOutput(_TablePart):
    """One output. Without a label, or with the threshold NaN, it was not trained, and is no finding."""

    label: str
    threshold: float

    @property
    def is_finding(self) -> bool:
        """True if it has a label and a threshold."""
        return bool(self.label) and not math.isnan(self.threshold)


class PublishedWeights(_TablePart):
    """One checkpoint file, the size of its input in pixels, the data sets it learnt from, and its outputs in order."""

    file: str
    size: int
    data: tuple[str, ...]
    outputs: tuple[PublishedOutput, ...]


def published(name: str) -> PublishedWeights:
    """Return the entry of the weights ``name``. Raises TrainingError listing the known ones."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    if name not in table:
        raise TrainingError(f"torchxrayvision publishes no weights {name}: {', '.join(sorted(table))}")
    return PublishedWeights.model_validate(table[name])
