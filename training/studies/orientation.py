"""The network that tells an upright chest from a turned one: fitted, and measured as the service uses it.

No label is used: an image as it was published is upright, and its three turns are not. One score is learnt, and the
four turns of an image compete for it, so that no turn can be learnt better than another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from training.data.cases import Case
from training.data.images import Bytes, radiograph_of
from triage.radiograph.crop import content
from triage.radiograph.orientation import THUMBNAIL, Network, orientation_of
from triage.radiograph.preprocess import PreprocessSpec
from triage.radiograph.types import FloatImage, Mask
from triage.statistics.intervals import exact_interval

CACHED = PreprocessSpec(size=2 * THUMBNAIL.size, crop="border")
SLANTS = (-30, -20, -15, -10, -5, 5, 10, 15, 20, 30)
"""Degrees to the left by which upright images are turned, to say where the check begins to refuse."""

Floats = npt.NDArray[np.float64]

_UNITS = 48
_DROPOUT = 0.2
_SMOOTHING = 0.02
_FLAT = 1e-3


@dataclass(frozen=True)
class Recipe:
    """``steps`` of AdamW on ``batch`` images each, every source as often as another."""

    steps: int = 1000
    batch: int = 96
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0


class _Scorer(nn.Module):
    """As ``triage.radiograph.orientation.Network``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(THUMBNAIL.size**2, _UNITS)
        self.second = nn.Linear(_UNITS, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        levels = centred / (centred.std(1, correction=0, keepdim=True) + _FLAT)
        hidden = functional.dropout(functional.relu(self.first(levels)), _DROPOUT, self.training)
        scores: torch.Tensor = self.second(hidden)[:, 0]
        return scores

    def exported(self) -> Network:
        parameters = (self.first.weight, self.first.bias, self.second.weight)
        first, bias, second = (each.detach().numpy().astype(np.float32) for each in parameters)
        # As it ships, in half precision: what is measured is what ships.
        return Network.from_bytes(Network(np.ascontiguousarray(first.T), bias, second[0]).to_bytes())


def thumbnails(images: Bytes) -> FloatImage:
    """Those of ``images``, uint8 (n, 64, 64), as ``CACHED`` makes them: float32 (n, 32, 32) from 0 to 1."""
    blocks = images.reshape(len(images), THUMBNAIL.size, 2, THUMBNAIL.size, 2)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) / 255, dtype=np.float32)


def fit(images: FloatImage, sources: Sequence[str], recipe: Recipe) -> Network:
    """The network for upright ``images``, float32 (n, 32, 32) from 0 to 1, of ``sources`` (n)."""
    torch.manual_seed(recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    scorer, drawn = _Scorer(), _draws(sources, recipe, random)
    learner = torch.optim.AdamW(scorer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    pace = torch.optim.lr_scheduler.OneCycleLR(learner, recipe.learning_rate, total_steps=recipe.steps)
    upright = torch.zeros(recipe.batch, dtype=torch.long)
    for places in drawn:
        shown = varied(torch.from_numpy(images[places.numpy()])[:, None], random)
        turns = torch.cat([torch.rot90(shown, turn, (2, 3)) for turn in range(4)])
        scores = scorer(turns).reshape(4, -1).T
        loss = functional.cross_entropy(scores, upright, label_smoothing=_SMOOTHING)
        learner.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        learner.step()
        pace.step()
    return scorer.eval().exported()


def varied(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """``images`` (n, 1, rows, columns) from 0 to 1, a little turned, stretched, shifted, mirrored, darkened, noisy."""
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


def _draws(sources: Sequence[str], recipe: Recipe, random: torch.Generator) -> Iterator[torch.Tensor]:
    names, which, counts = np.unique(np.array(sources), return_inverse=True, return_counts=True)
    weights = torch.from_numpy(1 / (counts[which] * len(names)))
    for _ in range(recipe.steps):
        yield torch.multinomial(weights, recipe.batch, replacement=True, generator=random)


def certainties(images: FloatImage, network: Network) -> Floats:
    """Of thumbnails (n, 32, 32) the certainty that they are upright, float (n, 4): as they are and turned by 90, 180
    and 270 degrees to the left."""
    scores = np.stack([network.uprightness(np.rot90(images, turn, (1, 2))) for turn in range(4)], axis=1)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def look(cases: Sequence[Case], network: Network) -> Floats:
    """The same of the whole images of ``cases``, by the service's own function."""
    found = []
    for case in cases:
        shown = _shown(case)
        found.append([_certainty(np.ascontiguousarray(np.rot90(shown, turn)), network) for turn in range(4)])
    return np.array(found)


def look_slanted(cases: Sequence[Case], network: Network) -> Floats:
    """Certainty that upright images of ``cases`` are upright when they are turned by ``SLANTS``, float (n, slants)."""
    return np.array([[_certainty(_slanted(shown, angle), network) for angle in SLANTS] for shown in map(_shown, cases)])


def _shown(case: Case) -> FloatImage:
    radiograph = radiograph_of(case)
    return np.asarray(np.where(radiograph.valid, radiograph.pixels, np.float32(0)), dtype=np.float32)


def _certainty(shown: FloatImage, network: Network) -> float:
    valid: Mask = np.ones(shown.shape, dtype=bool)
    return orientation_of(shown, valid, content(shown, valid), network).shares[0]


def _slanted(shown: FloatImage, degrees: float) -> FloatImage:
    rows, columns = shown.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(shown, matrix, (columns, rows)), dtype=np.float32)


def counted(turned: Floats, least: float) -> dict[str, Any]:
    """Upright images that ``least`` refuses and turned ones that it lets pass, with exact 95 % intervals."""
    taken = turned >= least
    record: dict[str, Any] = {"images": len(taken), "upright_refused": share(int((~taken[:, 0]).sum()), len(taken))}
    for turn in (1, 2, 3):
        record[f"turned_{90 * turn}_passed"] = share(int(taken[:, turn].sum()), len(taken))
    return record


def share(count: int, of: int) -> dict[str, float]:
    """A count, and its share with the exact interval."""
    low, high = exact_interval(count, of)
    return {"count": count, "share": round(count / of, 5), "low": round(low, 5), "high": round(high, 5)}
