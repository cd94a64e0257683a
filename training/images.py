"""Images as the service would see them, normalised and cached as bytes; and how they are varied in training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from tqdm import tqdm

from training.cohorts import CohortError, Sample
from triage.radiograph.decode import decode_picture
from triage.radiograph.preprocess import PreprocessSpec, normalise
from triage.radiograph.types import Rejected

Bytes = npt.NDArray[np.uint8]
Uniform = Callable[..., torch.Tensor]


def load(samples: Sequence[Sample], spec: PreprocessSpec, cache: Path) -> Bytes:
    """All images as uint8 (n, size, size), normalised by the service's own code; kept in ``cache`` for the next run."""
    names = "\n".join([repr(spec), *(str(sample.path) for sample in samples)])
    file = cache / f"{sha256(names.encode()).hexdigest()[:24]}.npy"
    if file.exists():
        return np.asarray(np.load(file))
    images = np.stack([_read(sample, spec) for sample in tqdm(samples, desc="decode", unit="image")])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, images)
    return images


def _read(sample: Sample, spec: PreprocessSpec) -> Bytes:
    try:
        radiograph = decode_picture(sample.path.read_bytes())
    except OSError as error:
        raise CohortError(f"{sample.path} cannot be read: {error}") from error
    if isinstance(radiograph, Rejected):
        raise CohortError(f"{sample.path}: {radiograph.detail}")
    return np.asarray(np.rint(normalise(radiograph.pixels, radiograph.valid, spec) * 255), dtype=np.uint8)


def to_levels(images: Bytes) -> torch.Tensor:
    """uint8 (n, s, s) to float32 (n, 1, s, s) between 0 and 1."""
    return torch.from_numpy(images)[:, None].float() / 255


def vary(levels: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Images (n, 1, s, s) as another machine, another positioning or another exposure would have made them.

    Rotation to 10 degrees, scale to 15 %, aspect to 8 %, shift to 5 %, mirroring; gamma, contrast and brightness; blur,
    noise, and an erased box, so that neither a marker nor a texture alone decides. Returns (n, 1, size, size).
    """
    count = len(levels)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    moved = functional.grid_sample(
        levels,
        functional.affine_grid(_affine(uniform, count), [count, 1, size, size], align_corners=False),
        align_corners=False,
    )
    exposed = moved.clamp(0, 1) ** torch.exp(uniform(count, 1, 1, 1) * 0.5)
    exposed = (exposed - 0.5) * (1 + uniform(count, 1, 1, 1) * 0.3) + 0.5 + uniform(count, 1, 1, 1) * 0.12
    blurred = functional.avg_pool2d(functional.pad(exposed, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    sharpness = (torch.rand((count, 1, 1, 1), generator=generator) * 2).clamp(max=1)
    mixed = blurred + (exposed - blurred) * sharpness
    noise = torch.randn(mixed.shape, generator=generator) * 0.03 * uniform(count, 1, 1, 1).clamp(min=0)
    return _erase(mixed + noise, generator)


def _affine(uniform: Uniform, count: int) -> torch.Tensor:
    angle = uniform(count) * math.radians(10)
    scale = 1 + uniform(count) * 0.15
    wide = scale * (1 + uniform(count) * 0.08)
    mirror = torch.where(uniform(count) < 0, -1.0, 1.0)
    shift = uniform(count, 2) * 0.1  # in half image widths
    cosine, sine = angle.cos(), angle.sin()
    rows = [
        torch.stack([mirror * cosine * wide, -sine * scale, shift[:, 0]], 1),
        torch.stack([mirror * sine * wide, cosine * scale, shift[:, 1]], 1),
    ]
    return torch.stack(rows, 1)


def _erase(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """In three of ten images, a box of a tenth to three tenths of the side becomes one grey."""
    size = images.shape[-1]
    for image in images:
        draw = torch.rand(6, generator=generator)
        if draw[0] < 0.3:
            height, width = (int(size * (0.1 + 0.2 * float(share))) for share in draw[1:3])
            top, left = int(draw[3] * (size - height)), int(draw[4] * (size - width))
            image[:, top : top + height, left : left + width] = draw[5]
    return images
