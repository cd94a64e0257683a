"""Shortcuts by appearance, on drawn cohorts with and without one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.cohort_images import write_cohort
from training.cli import main
from training.config import AugmentationConfig
from training.data.augmentation import vary
from training.studies.shortcuts import STATISTICS, appearance_score, appearance_statistics, each_alone, matched

LABELS = np.arange(120) % 2
PATIENTS = [f"patient {number // 2}" for number in range(120)]


def images(sharp: bool) -> np.ndarray:
    """Noise; that of the negatives is finer if ``sharp``."""
    rng = np.random.default_rng(0)
    drawn = []
    for label in LABELS:
        noise = rng.normal(0, 1, (64, 64)).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), 2.0 if label or not sharp else 1.0)
        drawn.append(np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8))
    return np.stack(drawn)


def test_a_label_that_goes_with_sharpness_is_told_by_it():
    statistics = appearance_statistics(images(sharp=True))

    alone = each_alone(statistics, LABELS)

    assert alone["detail finer than 1 px"] > 0.99
    assert set(alone) == set(STATISTICS)
    score = appearance_score(statistics, LABELS, PATIENTS)
    assert score[LABELS == 1].mean() > 0.9 > 0.1 > score[LABELS == 0].mean()


def test_a_label_that_goes_with_nothing_is_told_by_nothing():
    alone = each_alone(appearance_statistics(images(sharp=False)), LABELS)

    assert max(alone.values()) < 0.75


def test_a_model_that_only_reads_appearance_is_found_out():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 4000)
    appearance = np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, 4000), 0.01, 0.99)
    finding = 1 / (1 + np.exp(-(4 * (labels - 0.5) + rng.normal(0, 1, 4000))))

    reads_appearance = matched(labels, appearance, appearance)
    reads_the_finding = matched(labels, finding, appearance)

    assert reads_the_finding.auc > 0.97
    assert reads_the_finding.auc - reads_appearance.auc > 0.2
    assert reads_the_finding.lookalike_specificity > 0.9 > reads_appearance.lookalike_specificity
    assert reads_appearance.lookalikes == reads_the_finding.lookalikes > 0


@pytest.mark.parametrize("change", ["sharpness", "tone", "shading"])
def test_style_varies_appearance_and_keeps_levels_in_range(change: str):
    import torch

    levels = torch.rand((16, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    still = vary(levels, 32, AugmentationConfig(), torch.Generator().manual_seed(1))

    varied = vary(levels, 32, AugmentationConfig(**{change: 0.3}), torch.Generator().manual_seed(1))

    assert varied.shape == still.shape
    assert float((varied - still).abs().amax((1, 2, 3)).min()) > 0.001  # every image
    assert 0 <= float(varied.min()) <= float(varied.max()) <= 1
    again = vary(levels, 32, AugmentationConfig(**{change: 0.3}), torch.Generator().manual_seed(1))
    assert torch.equal(varied, again)


def test_the_command_prints_a_table(tmp_path: Path):
    manifest = write_cohort(tmp_path)

    ran = CliRunner().invoke(main, ["shortcuts", "--manifest", str(manifest), "--size", "32", "--cache", str(tmp_path)])

    assert ran.exit_code == 0, ran.output
    for name in STATISTICS:
        assert name in ran.output
    assert "48 images" in ran.output
