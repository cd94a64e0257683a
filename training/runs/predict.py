"""Scores of images by one or more networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

from training.config import InputConfig
from training.data.images import Bytes, standardise, to_levels
from training.runs.devices import Process

Floats = npt.NDArray[np.float32]


def centre(images: torch.Tensor, size: int) -> torch.Tensor:
    """Return the middle ``size`` pixels of images (n, 1, s, s)."""
    if images.shape[-1] == size:
        return images
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


@torch.no_grad()
def predict(
    networks: Sequence[nn.Module], images: Bytes, view: InputConfig, process: Process, batch_size: int = 64
) -> Floats:
    """Return logits (n, outputs), the mean over ``networks`` and, with ``flips``, over image and mirror image.

    ``images`` are cached at ``view.spec()``. Several processes share the work; each gets all the results.
    """
    for network in networks:
        network.eval()
    mine = np.arange(process.rank, len(images), process.world)
    pieces: list[Floats] = []
    for start in range(0, len(mine), batch_size):
        levels = to_levels(images[mine[start : start + batch_size]]).to(process.device)
        batch = centre(standardise(levels, view.spec()), view.size)
        both = (batch, batch.flip(3)) if view.flips else (batch,)
        logits = torch.stack([network(image) for network in networks for image in both]).mean(0)
        pieces.append(logits.float().cpu().numpy())
    return _gathered(mine, pieces, len(images), process)


def _gathered(mine: npt.NDArray[np.int64], pieces: list[Floats], count: int, process: Process) -> Floats:
    parts = [(mine, np.concatenate(pieces) if pieces else None)]
    if process.world > 1:
        gathered: list[object] = [None] * process.world
        distributed.all_gather_object(gathered, parts[0])
        parts = gathered  # type: ignore[assignment]  # what each process sent
    outputs = next(logits.shape[1] for _, logits in parts if logits is not None)
    result = np.zeros((count, outputs), dtype=np.float32)
    for places, logits in parts:
        if logits is not None:
            result[places] = logits
    return result
