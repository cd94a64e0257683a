"""Augmentation: random changes as by another detector, another positioning or another exposure."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from training.config import AugmentationConfig
from training.data.appearance_exchange import exchange_appearance


def vary(levels: torch.Tensor, size: int, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    """Return images (n, 1, size, size) of (n, 1, r, r) between 0 and 1, each changed at random, on their device.

    ``crop`` cuts ``size`` of ``r`` pixels from the centre or at random, or else shows the whole image. In the same
    resampling: mirroring, ``rotation`` (degrees), ``scale``, ``aspect`` and ``shift`` (shares). Then ``gamma``
    (exponent e^u), ``contrast`` and ``brightness`` (factors, as torchvision's ColorJitter), ``exposure`` (added),
    ``blur`` (largest share of a 3 x 3 mean), ``noise`` (deviation) and ``erase`` (probability of a grey box).
    ``exchange`` (probability) gives an image the appearance of another one of the batch: see appearance_exchange.py.
    ``sharpness``, ``tone`` and ``shading`` imitate another detector and another processing: see ``_style``.
    The draws depend on ``generator`` (on the CPU) and not on the device.
    """
    count = len(levels)
    affine = _affine(count, size / levels.shape[-1], changes, generator).to(levels.device)
    grid = functional.affine_grid(affine, [count, 1, size, size], align_corners=False)
    moved = functional.grid_sample(levels, grid, align_corners=False).clamp(0, 1)
    exchanged = exchange_appearance(moved, changes.exchange, generator) if changes.exchange else moved
    exposed = _expose(_style(exchanged, changes, generator), changes, generator)
    blurred = _blur(exposed, changes, generator)
    noisy = _noise(blurred, changes, generator)
    return _erase(noisy, changes.erase, generator) if changes.erase else noisy


def _draw(generator: torch.Generator, count: int, like: torch.Tensor | None = None) -> torch.Tensor:
    """Return (n,) uniform numbers between -1 and 1; with ``like`` (n, 1, 1, 1) on its device."""
    drawn = torch.rand(count, generator=generator) * 2 - 1
    return drawn if like is None else drawn.view(-1, 1, 1, 1).to(like.device)


def _affine(count: int, share: float, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    angle = _draw(generator, count) * math.radians(changes.rotation)
    scale = 1 + _draw(generator, count) * changes.scale
    wide = scale * (1 + _draw(generator, count) * changes.aspect)
    mirror = torch.where(_draw(generator, count) < 0, -1.0, 1.0) if changes.mirror else torch.ones(count)
    shift = [_draw(generator, count) * changes.shift * 2 for _ in range(2)]  # in half image widths
    part = 1.0 if changes.crop == "whole" else share
    room = 1 - part if changes.crop == "random" else 0.0
    place = [_draw(generator, count) * room for _ in range(2)]
    cosine, sine = angle.cos() * part, angle.sin() * part
    rows = [
        torch.stack([mirror * cosine * wide, -sine * scale, shift[0] + place[0]], 1),
        torch.stack([mirror * sine * wide, cosine * scale, shift[1] + place[1]], 1),
    ]
    return torch.stack(rows, 1)


def _expose(images: torch.Tensor, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    count = len(images)
    if changes.gamma:
        images = images ** torch.exp(_draw(generator, count, images) * changes.gamma)
    if changes.contrast:
        mean = images.mean((2, 3), keepdim=True)
        images = (images - mean) * (1 + _draw(generator, count, images) * changes.contrast) + mean
    if changes.brightness:
        images = images * (1 + _draw(generator, count, images) * changes.brightness)
    if changes.exposure:
        images = images + _draw(generator, count, images) * changes.exposure
    return images


def _style(images: torch.Tensor, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    """Return images as by another detector and processing: ``sharpness``, ``tone`` and ``shading``, largest changes.

    Sharpness: detail finer than a random width (of a 3 to 9 pixel mean) is weighted by a factor between
    1 - ``sharpness`` and 1 + ``sharpness``, so that sharpness tells nothing about the label. Tone: an S-shaped curve or
    its inverse. Shading: a smooth field added to the image.
    """
    count, size = len(images), images.shape[-1]
    if changes.sharpness:
        reach = int(torch.randint(1, 5, (1,), generator=generator))
        padded = functional.pad(images, (reach,) * 4, mode="replicate")
        coarse = functional.avg_pool2d(padded, 2 * reach + 1, stride=1)
        images = coarse + (images - coarse) * (1 + _draw(generator, count, images) * changes.sharpness)
    if changes.tone:
        images = images.clamp(0, 1)
        images = images + _draw(generator, count, images) * changes.tone * torch.sin(2 * math.pi * images)
    if changes.shading:
        field = torch.rand((count, 1, 3, 3), generator=generator).to(images.device) * 2 - 1
        smooth = functional.interpolate(field, size=(size, size), mode="bicubic", align_corners=True)
        images = images + smooth * changes.shading
    return images.clamp(0, 1)


def _blur(images: torch.Tensor, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    if not changes.blur:
        return images
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]  # a quarter of what avg_pool2d takes
    blurred = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    share = changes.blur * _draw(generator, len(images), images).clamp(min=0)
    return images + (blurred - images) * share


def _noise(images: torch.Tensor, changes: AugmentationConfig, generator: torch.Generator) -> torch.Tensor:
    if not changes.noise:
        return images
    deviation = changes.noise * _draw(generator, len(images), images).clamp(min=0)
    return images + torch.randn(images.shape, generator=generator).to(images.device) * deviation


def _erase(images: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return images in some of which a box of a tenth to three tenths of the side is one grey."""
    size = images.shape[-1]
    for image in images:
        draw = torch.rand(6, generator=generator).tolist()
        if draw[0] < share:
            height, width = (int(size * (0.1 + 0.2 * part)) for part in draw[1:3])
            top, left = int(draw[3] * (size - height)), int(draw[4] * (size - width))
            image[:, top : top + height, left : left + width] = draw[5]
    return images
