"""Learning curves compared: the figure of a recipe is that of its networks, and only equals are compared."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import ttest_ind

from tests.support.cohort_images import TINY, write_cohort
from training.cli import main
from training.config import Config
from training.errors import TrainingError
from training.runs.devices import Process
from training.runs.run import RunSources, RunSpec
from training.runs.scores import RunScores, figures
from training.studies.experiments import run_study, sizes_of
from training.studies.learning_curves import CurvePoint, difference, overlap_weights, points_of, spread
from training.studies.shortcuts import matched
from triage.statistics.intervals import auc

CPU = Process(torch.device("cpu"))
QUICK = Config.model_validate(
    {**TINY, "schedule": {**TINY["schedule"], "epochs": 1}, "data": {"folds": 2}, "runtime": {"seed": 1}}
)
COUNT = 120
LABELS = np.arange(COUNT) % 2


def network(fold: int, strength: float, shift: float = 0.0, seed: int = 0) -> RunScores:
    """Scores of a network that left out its own patients, two images each."""
    rng = np.random.default_rng((fold, seed))
    logits = strength * LABELS + rng.normal(0, 1, COUNT) + shift
    images = tuple(f"{fold}-{number}.png" for number in range(COUNT))
    people, empty = tuple(f"p:{fold}-{number // 2}" for number in range(COUNT)), ("",) * COUNT
    return RunScores(images, people, empty, (fold,) * COUNT, empty, empty, empty, LABELS.astype(float), logits)


def test_networks_are_measured_by_their_own_ranking() -> None:
    """One network's scores are all higher than the other's: ranked together they would look bad."""
    point = CurvePoint("plain", 100, (network(0, 2), network(1, 2, shift=50)))
    found = spread(point)
    each = [auc(one.labels, one.logits) for one in point.networks]
    assert found.each == pytest.approx(each)
    assert found.mean == pytest.approx(np.mean(each))
    assert found.sd == pytest.approx(np.std(each, ddof=1))
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert auc(point.together.labels, point.together.logits) < found.mean - 0.1


def test_figures_at_equal_appearance_are_those_of_shortcuts() -> None:
    point = CurvePoint("plain", 100, (network(0, 2),))
    appearance = np.clip(0.3 + 0.4 * LABELS + np.random.default_rng(5).normal(0, 0.1, COUNT), 0.01, 0.99)
    known = dict(zip(point.networks[0].images, appearance, strict=True))
    one = point.networks[0]
    assert spread(point, overlap_weights(known)).mean == pytest.approx(
        matched(one.labels, one.probabilities, appearance).auc
    )
    with pytest.raises(TrainingError, match=r"0-0\.png was scored and is in none of the given manifests"):
        overlap_weights({})(one)


def test_a_better_recipe_is_told_from_one_that_only_differs() -> None:
    plain = CurvePoint("plain", 100, tuple(network(fold, 1) for fold in range(3)))
    better = CurvePoint("better", 100, tuple(network(fold, 3, seed=1) for fold in range(3)))
    alike = CurvePoint("alike", 100, tuple(network(fold, 1, seed=2) for fold in range(3)))
    found = difference(plain, better)
    assert found.ci95[0] > 0 and found.p_patients < 0.01
    groups = [[figures(one)["auc"] for one in point.networks] for point in (plain, better)]
    assert found.value == pytest.approx(np.mean(groups[1]) - np.mean(groups[0]))
    assert found.p_replicates == pytest.approx(ttest_ind(*groups).pvalue)
    none = difference(plain, alike)
    assert none.ci95[0] < 0 < none.ci95[1]
    assert difference(plain, plain).value == 0
    with pytest.raises(TrainingError, match="plain and better at 100 images: not of the same folds"):
        difference(plain, CurvePoint("better", 100, (network(4, 3),)))


def test_two_recipes_are_compared_from_their_folders(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    manifest = write_cohort(tmp_path, 48)
    for name, changes in (("plain", {}), ("smooth", {"loss.smoothing": 0.1})):
        config = QUICK.changed({"data.carve": 4, **changes})
        run_study(RunSpec(config, RunSources((manifest,)), tmp_path / name, tmp_path / "cache"), sizes_of([8, 16]), CPU)
    assert [point.images for point in points_of("plain", [tmp_path / "plain"])] == [8, 16]
    studies = [f"{name}={tmp_path / name}" for name in ("plain", "smooth")]
    command = [
        "compare-curves",
        *studies,
        "--appearance",
        str(manifest),
        "--size",
        "32",
        "--cache",
        str(tmp_path / "cache"),
    ]
    out, plot = tmp_path / "curves.csv", tmp_path / "curves.png"
    done = CliRunner().invoke(main, [*command, "-o", str(out), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["training images"], row["recipe"], row["networks"]) for row in rows] == [
        (images, recipe, "2") for images in ("8", "16") for recipe in ("plain", "smooth")
    ]
    assert "t-test p" in rows[1]["AUC, equal appearance: difference"] and not rows[0]["AUC: difference"]
    assert done.output.count("\n| 8 |") == 2
    assert plot.stat().st_size > 1000
    twice = points_of("both", [tmp_path / "plain", tmp_path / "smooth"])
    assert [len(point.networks) for point in twice] == [4, 4]


@pytest.mark.parametrize(
    ("study", "message"), [("plain", "'plain' is not RECIPE=FOLDER"), ("plain=here", "here holds no finished run")]
)
def test_what_is_no_curve_is_said(study: str, message: str) -> None:
    done = CliRunner().invoke(main, ["compare-curves", study])
    assert done.exit_code == 1
    assert message in done.output
