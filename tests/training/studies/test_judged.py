"""A table of scores judged by view, its calibration, and its difference to another table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.cohort_images import write_cohort
from training.cli import main
from training.studies.judged import ScoredImages, compared, fitted, judged, recalibrated_on_other_folds


def scored(slope: float, lifted: float = 0.0, images: int = 900) -> ScoredImages:
    """Labels drawn by the very probabilities of ``slope`` 1; AP images are oftener positive, and three folds."""
    random = np.random.default_rng(0)
    views = tuple("AP" if number % 3 == 0 else "PA" for number in range(images))
    logits = random.normal(0, 1.5, images) + np.where(np.array(views) == "AP", 1.5, 0.0)
    labels = (random.random(images) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    names = tuple(f"{number}.png" for number in range(images))
    folds = tuple(number % 3 for number in range(images))
    return ScoredImages(
        names, tuple(f"p{number}" for number in range(images)), views, folds, labels, logits * slope + lifted
    )


def test_a_calibrated_score_has_slope_and_ratio_of_one_and_a_lifted_one_expects_too_many() -> None:
    everything, within, ap, pa = judged(scored(1))
    assert [each.group for each in (everything, within, ap, pa)] == ["all", "within view", "AP", "PA"]
    assert everything.slope is not None and everything.slope[1][0] < 1 < everything.slope[1][1]
    assert everything.ratio is not None and everything.ratio[1][0] < 1 < everything.ratio[1][1]
    assert within.auc < everything.auc, "telling the view apart earns nothing within it"
    assert ap.images + pa.images == everything.images and ap.positives + pa.positives == everything.positives
    lifted = judged(scored(2, lifted=1.0))[0]
    assert lifted.slope is not None and lifted.slope[0] == pytest.approx(everything.slope[0] / 2, abs=1e-6)
    assert lifted.ratio is not None and lifted.ratio[1][1] < 1


def test_a_fit_on_the_other_folds_mends_a_lifted_score_and_needs_folds() -> None:
    mended = judged(recalibrated_on_other_folds(scored(2, lifted=1.0)), by_fold=True)
    everything = mended[0]
    assert everything.ratio is not None and everything.ratio[0] == pytest.approx(1, abs=0.02)
    assert everything.slope is not None and everything.slope[0] == pytest.approx(1, abs=0.05)
    assert [each.group for each in mended[-3:]] == ["fold 0", "fold 1", "fold 2"]
    one = scored(1)
    alone = ScoredImages(one.names, one.patients, one.views, (-1,) * len(one.names), one.labels, one.logits)
    with pytest.raises(Exception, match="the manifest has none"):
        recalibrated_on_other_folds(alone)


def test_a_fit_finds_what_the_labels_were_drawn_by_and_says_so_where_there_is_none() -> None:
    one = scored(1, images=4000)
    slope, intercept = fitted(one.logits, one.labels, np.ones((1, 4000)))[0]
    assert slope == pytest.approx(1, abs=0.1) and intercept == pytest.approx(0, abs=0.1)
    apart = fitted(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]), np.ones((1, 4)))
    assert not np.isfinite(apart).all() or abs(apart[0][0]) > 20


def test_pairs_are_of_the_images_that_both_scored() -> None:
    first, random = scored(1), np.random.default_rng(1)
    noisy = ScoredImages(
        first.names[:600], first.patients[:600], first.views[:600], first.folds[:600], first.labels[:600],
        first.logits[:600] + random.normal(0, 3, 600),
    )  # fmt: skip
    everything, within, *_ = compared(first, noisy)
    assert everything.images == 600 and everything.difference == pytest.approx(everything.first - everything.second)
    assert everything.ci95[0] > 0 and everything.p_value < 0.05 and within.difference > 0
    assert compared(first, first)[0].difference == 0


def test_the_command_judges_a_table_and_a_further_finding(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 40)
    scores = tmp_path / "predictions.csv"
    with scores.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "probability", "findings"))
        writer.writerows(
            (f"cohort-{n}.png", "" if n == 3 else 0.2 + 0.6 * (n // 2 % 2), "x=0.5@0.5") for n in range(40)
        )
    command = ["judge", str(scores), "--manifest", str(manifest)]
    said = CliRunner().invoke(main, [*command, "--versus", str(scores)])
    assert said.exit_code == 0, said.output
    assert "| all | 39 |" in said.output and "| +0.000 (+0.000 to +0.000) |" in said.output
    refused = CliRunner().invoke(main, [*command, "--finding", "x"])
    assert refused.exit_code != 0 and "a label of x" in refused.output
