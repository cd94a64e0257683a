"""Fit of the small networks of ``triage.radiograph.thumbnail``, for the orientation and the projection check."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import click
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.data.cases import TrainingCase
from training.data.images import Bytes
from training.files import write_json
from triage.radiograph.preprocess import PreprocessSpec
from triage.radiograph.thumbnail import FLAT, STRIDE, THUMBNAIL, Convolution, FloatImage, ThumbnailNetwork
from triage.statistics.intervals import exact_interval

CACHED = PreprocessSpec(size=2 * THUMBNAIL.size, crop="border")


@dataclass(frozen=True)
class Recipe:
    """Training of a thumbnail network: ``steps`` of AdamW on ``batch`` images each, all groups equally frequent.

    ``convolutions``: channels and side of the kernel of each. ``units`` of the one hidden layer behind them.
    """

    convolutions: tuple[tuple[int, int], ...] = ()
    units: int = 48
    dropout: float = 0.2
    steps: int = 1000
    batch: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0


class ThumbnailScorer(nn.Module):
    """Torch's form of ``ThumbnailNetwork``: scores (n) of images (n, 1, rows, columns)."""

    def __init__(self, recipe: Recipe, constant: bool) -> None:
        super().__init__()
        side, channels, layers = THUMBNAIL.size, 1, []
        for more, kernel in recipe.convolutions:
            layers.append(nn.Conv2d(channels, more, kernel, stride=STRIDE))
            side, channels = (side - kernel) // STRIDE + 1, more
        self.convolutions = nn.ModuleList(layers)
        self.dropout = recipe.dropout
        self.inputs = (channels, side, side)
        self.first = nn.Linear(channels * side**2, recipe.units)
        self.second = nn.Linear(recipe.units, 1, bias=constant)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores (n) of images (n, 1, rows, columns)."""
        centred = images - images.mean((2, 3), keepdim=True)
        seen = centred / (centred.std((2, 3), correction=0, keepdim=True) + FLAT)
        for layer in self.convolutions:
            seen = functional.relu(layer(seen))
        if len(self.convolutions):
            seen = functional.dropout(seen, self.dropout, self.training)
        hidden = functional.dropout(functional.relu(self.first(seen.flatten(1))), self.dropout, self.training)
        scores: torch.Tensor = self.second(hidden)[:, 0]
        return scores

    def exported(self) -> ThumbnailNetwork:
        """Return the network in half precision, as it ships, so that the shipped network is measured."""
        first = self.first.weight.reshape(-1, *self.inputs).permute(2, 3, 1, 0).reshape(-1, len(self.first.bias))
        end = torch.zeros(()) if self.second.bias is None else self.second.bias[0]
        network = ThumbnailNetwork(
            _array(first),
            _array(self.first.bias),
            _array(self.second.weight[0]),
            _array(end),
            tuple(map(_convolution, self.convolutions)),
        )
        return ThumbnailNetwork.from_bytes(network.to_bytes())


def _convolution(layer: nn.Module) -> Convolution:
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    return Convolution(_array(layer.weight.permute(1, 2, 3, 0)), _array(layer.bias))


def _array(values: torch.Tensor) -> FloatImage:
    return np.ascontiguousarray(values.detach().numpy(), dtype=np.float32)


Loss = Callable[[ThumbnailScorer, torch.Tensor, torch.Tensor], torch.Tensor]
"""Loss of the network on augmented images (n, 1, rows, columns) with these places among all images."""


def thumbnails(images: Bytes) -> FloatImage:
    """Return the thumbnails, float32 (n, 32, 32) from 0 to 1, of ``images``, uint8 (n, 64, 64) by ``CACHED``."""
    blocks = images.reshape(len(images), THUMBNAIL.size, 2, THUMBNAIL.size, 2)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) / 255, dtype=np.float32)


def fit(
    images: FloatImage, groups: Sequence[str], recipe: Recipe, loss_of: Loss, *, constant: bool
) -> ThumbnailNetwork:
    """Fit the network on ``images``, float32 (n, 32, 32) from 0 to 1, drawn evenly from their ``groups`` (n)."""
    torch.manual_seed(recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    scorer, drawn = ThumbnailScorer(recipe, constant), _draws(groups, recipe, random)
    learner = torch.optim.AdamW(scorer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(learner, recipe.learning_rate, total_steps=recipe.steps)
    for places in drawn:
        shown = varied(torch.from_numpy(images[places.numpy()])[:, None], random)
        loss = loss_of(scorer, shown, places)
        learner.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        learner.step()
        pace.step()
    return scorer.eval().exported()


def varied(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return ``images`` (n, 1, rows, columns) from 0 to 1, slightly turned, stretched, shifted, mirrored and noisy."""
    count = len(images)

    def drawn(most: float) -> torch.Tensor:
        return (torch.rand(count, generator=random) * 2 - 1) * most

    angle, mirror = drawn(math.radians(12)), torch.sign(drawn(1))
    across, down = 1 + drawn(0.2), 1 + drawn(0.2)
    rows = (
        torch.stack([across * mirror * torch.cos(angle), -down * torch.sin(angle), drawn(0.15)], 1),
        torch.stack([across * mirror * torch.sin(angle), down * torch.cos(angle), drawn(0.15)], 1),
    )
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 1, *images.shape[2:]], align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    levels = moved.clamp(0, 1) ** torch.exp(drawn(0.6))[:, None, None, None]
    return levels + torch.randn(levels.shape, generator=random) * 0.03


def _draws(groups: Sequence[str], recipe: Recipe, random: torch.Generator) -> Iterator[torch.Tensor]:
    names, which, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    weights = torch.from_numpy(1 / (counts[which] * len(names)))
    for _ in range(recipe.steps):
        yield torch.multinomial(weights, recipe.batch, replacement=True, generator=random)


def share(count: int, of: int) -> dict[str, float]:
    """Return a count, and its share of ``of`` with the exact 95 % interval."""
    low, high = exact_interval(count, of)
    return {"count": count, "share": round(count / of, 5), "low": round(low, 5), "high": round(high, 5)}


def sources(cases: Sequence[TrainingCase]) -> dict[str, int]:
    """Return the number of ``cases`` of each source."""
    return {source: sum(case.source == source for case in cases) for source in sorted({case.source for case in cases})}


def write(out: Path, name: str, network: ThumbnailNetwork, record: dict[str, object]) -> None:
    """Write the two files that ``triage.radiograph.thumbnail.shipped`` reads, and print what was measured."""
    data = network.to_bytes()
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.npz").write_bytes(data)
    write_json(out / f"{name}.json", {"weights_sha256": sha256(data).hexdigest(), **record})
    click.echo(json.dumps(record["measured"], indent=1))
