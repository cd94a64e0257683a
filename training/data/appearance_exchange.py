"""Images with the look of other images: nothing that goes with the look can tell the label then.

The idea is that of histogram matching and of Fourier domain adaptation (Yang and Soatto 2020): what an acquisition does
to an image is taken from another one, what is seen in it stays. As images of a batch are of either class, a look that
goes with one class in the cohort is seen with both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

LEVELS = 256
_STRONGEST = 4.0  # so many times a band is amplified or damped at most


def exchange_looks(images: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, s, s) between 0 and 1, each with probability ``share`` in the look of another of them.

    The look is the distribution of its grey levels, and the deviations of its detail of 1 and of 2 to 3 pixels.
    """
    count = len(images)
    ring = torch.randperm(count, generator=generator)
    others = torch.empty_like(ring).scatter(0, ring, ring.roll(1)).to(images.device)  # nobody is their own other
    chosen = (torch.rand(count, generator=generator) < share).to(images.device).view(-1, 1, 1, 1)
    deviations = [_deviation(band)[others] for band in _bands(images)]
    return torch.where(chosen, _with_detail(_with_levels(images, others), deviations), images)


def _with_levels(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Each of ``images`` with the distribution of grey levels of its other: each level to that of the same rank."""
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
    """(n, LEVELS + 1): the share of pixels below each of the equally spaced levels from 0 to 1."""
    count, pixels = len(images), images[0].numel()
    bins = (images.flatten(1) * LEVELS).long().clamp(0, LEVELS - 1)
    bins = bins + torch.arange(count, device=images.device).view(-1, 1) * LEVELS
    found = torch.bincount(bins.flatten(), minlength=count * LEVELS).view(count, LEVELS)
    return functional.pad(found.cumsum(1), (1, 0)).float() / pixels


def _with_detail(images: torch.Tensor, deviations: Sequence[torch.Tensor]) -> torch.Tensor:
    """``images`` whose bands of detail have these ``deviations``, as far as a band may be amplified or damped."""
    for band, deviation in zip(_bands(images), deviations, strict=True):
        strength = deviation / _deviation(band).clamp(min=1e-4)
        images = images + band * (strength.clamp(1 / _STRONGEST, _STRONGEST) - 1)
    return images.clamp(0, 1)


def _bands(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    once, twice = (_mean(images, reach) for reach in (1, 3))
    return images - once, once - twice


def _mean(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Of the square that reaches so far, by rows and then by columns: avg_pool2d in two dimensions takes longer."""
    padded, width = functional.pad(images, (reach,) * 4, mode="replicate"), 2 * reach + 1
    high, wide = images.shape[2:]
    rows = sum(padded[..., place : place + high, :] for place in range(1, width)) + padded[..., :high, :]
    return (sum(rows[..., place : place + wide] for place in range(1, width)) + rows[..., :wide]) / width**2


def _deviation(band: torch.Tensor) -> torch.Tensor:
    return band.square().mean((1, 2, 3), keepdim=True).sqrt()
