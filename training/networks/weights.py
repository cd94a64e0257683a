"""First weights of a network: read from a file or a library, or an error; never silently from scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from training.errors import TrainingError

T = TypeVar("T")


def load_imagenet(name: str, load: Callable[[], T]) -> T:
    """Return what ``load`` returns. Raises TrainingError where the ImageNet weights of ``name`` cannot be had."""
    try:
        return load()
    except (OSError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the ImageNet weights of {name} are not to be had ({str(error).splitlines()[0]}); nothing was trained "
            "from scratch instead: give a local copy as weights = 'file:PATH', or say weights = 'scratch'"
        ) from error


def weights_file(weights: str) -> Path:
    """Return the path of ``file:PATH``. Raises TrainingError for any other text."""
    if not weights.startswith("file:"):
        raise TrainingError(f"weights {weights!r} are none of scratch, imagenet, file:PATH and run:FOLDER")
    return Path(weights.removeprefix("file:"))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a file that torch saved. Raises TrainingError."""
    try:
        state: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise TrainingError(f"weights {path} cannot be read: {error}") from error
    return state
