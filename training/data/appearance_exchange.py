"""Exchange of appearance between images, so that appearance cannot tell the label.

The idea is that of histogram matching and of Fourier domain adaptation (Yang and Soatto 2020): an image keeps its
content and takes the appearance, which its acquisition made, from another one. As a batch holds images of both classes,
an appearance that goes with one class in the cohort is seen with both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

LEVELS = 256
_STRONGEST = 4.0  # largest factor by which a band is amplified or damped


def exchange_appearance(images: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return images (n, 1, s, s) between 0 and 1, each with probability ``share`` in the appearance of another of them.

    Appearance is the distribution of the grey levels, and the deviations of the detail of 1 and of 2 to 3 pixels.
    """
    count = len(images)
    ring = torch.randperm(count, generator=generator)
    others = torch.empty_like(ring).scatter(0, ring, ring.roll(1)).to(images.device)  # no image is its own other
    chosen = (torch.rand(count, generator=generator) < share).to(images.device).view(-1, 1, 1, 1)
    deviations = [_deviation(band)[others] for band in _bands(images)]
    return torch.where(chosen, _with_detail(_with_levels(images, others), deviations), images)


def _with_levels(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return ``images`` with the grey levels of their others: each level becomes that of the same rank."""
    shares = _below(images)
    wanted = shares[others]
    places = torch.searchsorted(wanted, shares).clamp(1, LEVELS)
    low, high = wanted.gather(1, places - 1), wanted.gather(1, places)
    curve = (places - 1 + (shares - low) / (high - low).clamp(min=1e-6)).clamp(0, LEVELS) / LEVELS
    scaled = images.flatten(1) * LEVELS
    left = scaled.long().clamp(0, LEVELS - 1)
    start, end = curve.gather(1, left), curve.gather(1, left + 1)
    return (start + (end - start) * (scaled - left)).view_as(images)


def _below(images: torch.Tensor) -> torch.Tensor:
    """Return (n, LEVELS + 1): the share of pixels below each of the equally spaced levels from 0 to 1."""
    count, pixels = len(images), images[0].numel()
    bins = (images.flatten(1) * LEVELS).long().clamp(0, LEVELS - 1)
    bins = bins + torch.arange(count, device=images.device).view(-1, 1) * LEVELS
    found = torch.bincount(bins.flatten(), minlength=count * LEVELS).view(count, LEVELS)
    return functional.pad(found.cumsum(1), (1, 0)).float() / pixels


def _with_detail(images: torch.Tensor, deviations: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return ``images`` whose bands of detail have these ``deviations``, within the limits of amplification."""
    for band, deviation in zip(_bands(images), deviations, strict=True):
        strength = deviation / _deviation(band).clamp(min=1e-4)
        images = images + band * (strength.clamp(1 / _STRONGEST, _STRONGEST) - 1)
    return images.clamp(0, 1)


def _bands(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    once, twice = (_mean(images, reach) for reach in (1, 3))
    return images - once, once - twice


def _mean(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Return the mean over squares of side 2 ``reach`` + 1, by rows, then columns: faster than avg_pool2d."""
    padded, width = functional.pad(images, (reach,) * 4, mode="replicate"), 2 * reach + 1
    high, wide = images.shape[2:]
    rows = sum(padded[..., place : place + high, :] for place in range(1, width)) + padded[..., :high, :]
    return (sum(rows[..., place : place + wide] for place in range(1, width)) + rows[..., :wide]) / width**2


def _deviation(band: torch.Tensor) -> torch.Tensor:
    return band.square().mean((1, 2, 3), keepdim=True).sqrt()
