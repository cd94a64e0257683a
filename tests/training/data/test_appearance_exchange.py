"""Images in the appearance of others: the changes, and that appearance tells the label no more."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.config import AugmentationConfig
from training.data.appearance_exchange import exchange_appearance
from training.data.augmentation import vary
from training.studies.shortcuts import appearance_statistics, each_alone


def smooth(count: int, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Smooth random fields (n, 1, size, size) between 0 and 1."""
    coarse = torch.rand((count, 1, 5, 5), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_image_takes_the_grey_levels_of_the_other():
    dark, light = 0.1 + 0.4 * smooth(1), 0.9 - 0.4 * smooth(1, seed=1)
    pair = torch.cat([dark, light])

    found = exchange_appearance(pair, 1.0, of(0))

    for mine, other in ((0, 1), (1, 0)):
        wanted, had, got = (
            np.quantile(image.numpy(), np.linspace(0.05, 0.95, 19)) for image in (pair[other], pair[mine], found[mine])
        )
        assert np.abs(got - wanted).max() < 0.06 < np.abs(had - wanted).max()
        order = np.corrcoef(pair[mine].flatten().argsort().argsort(), found[mine].flatten().argsort().argsort())[0, 1]
        assert order > 0.98  # what was bright is bright


def test_an_image_takes_the_sharpness_of_the_other():
    rough = (smooth(1) + 0.05 * torch.randn((1, 1, 64, 64), generator=of(3))).clamp(0, 1)
    soft = torch.from_numpy(cv2.GaussianBlur(rough[0, 0].numpy(), (0, 0), 1.2))[None, None]
    pair = torch.cat([rough, soft])

    found = exchange_appearance(pair, 1.0, of(0))

    def detail(image: torch.Tensor) -> float:
        return float(cv2.Laplacian(image[0].numpy(), cv2.CV_32F).std())

    assert detail(found[0]) < 0.6 * detail(pair[0])
    assert detail(found[1]) > 1.5 * detail(pair[1])


def test_an_appearance_that_told_the_label_tells_less_of_it():
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 2
    noise = rng.normal(0, 0.03, (240, 64, 64)).astype(np.float32)
    levels = (smooth(240).numpy()[:, 0] + noise).clip(0, 1)
    for image, label in zip(levels, labels, strict=True):
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        image[:] = ((soft + (image - soft) * (0.4 if label else 1.0)) ** (1.5 if label else 1.0)).clip(0, 1)
    images = torch.from_numpy(levels)[:, None]

    def told(shown: torch.Tensor) -> float:
        return max(each_alone(appearance_statistics((shown[:, 0].numpy() * 255).astype(np.uint8)), labels).values())

    assert told(images) > 0.95
    assert told(exchange_appearance(images, 1.0, of(0))) < 0.7


def test_only_the_share_that_is_asked_for_changes():
    images = smooth(400, 16)

    found = exchange_appearance(images, 0.3, of(5))

    changed = (found != images).flatten(1).any(1).float().mean()
    assert 0.2 < changed < 0.4
    assert torch.equal(exchange_appearance(images, 0.3, of(5)), found)
    assert not torch.equal(exchange_appearance(images, 0.3, of(6)), found)


@pytest.mark.parametrize("levels", [torch.zeros((3, 1, 16, 16)), torch.ones((3, 1, 16, 16)), smooth(3, 16).round()])
def test_flat_and_black_and_white_images_stay_finite_and_in_range(levels: torch.Tensor):
    mixed = torch.cat([levels, smooth(3, 16)])

    found = exchange_appearance(mixed, 1.0, of(0))

    assert bool(torch.isfinite(found).all())
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_without_exchange_what_is_drawn_is_as_before():
    levels = smooth(8, 32)
    how = AugmentationConfig(rotation=10, noise=0.03)

    plain = vary(levels, 32, how, of(1))

    assert torch.equal(vary(levels, 32, how.model_copy(update={"exchange": 0.0}), of(1)), plain)
    assert not torch.equal(vary(levels, 32, how.model_copy(update={"exchange": 1.0}), of(1)), plain)
