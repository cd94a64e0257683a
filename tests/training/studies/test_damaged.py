"""Damage to images: what each does to pixels, and what the networks that left an image out make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config
from training.data.cases import read_cases
from training.data.damage import DAMAGES
from training.data.images import radiograph_of
from training.errors import TrainingError
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.run import RunSources, RunSpec
from training.studies.damaged import AS_IT_IS, judge_of, lines, rows

CPU = Process(torch.device("cpu"))
HARD = "noise, SD 10 %"


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_changes_greys_within_their_range_and_is_the_same_for_a_seed(name: str) -> None:
    ramp = np.linspace(0, 1, 200, dtype=np.float32)
    pixels = np.asarray(np.sin(40 * ramp[:, None] * ramp[None]) / 4 + ramp[None] / 2 + 0.25, dtype=np.float32)
    found = DAMAGES[name](pixels, 1)
    assert found.shape == pixels.shape and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    assert (found == DAMAGES[name](pixels, 1)).all()
    assert 0.001 < np.abs(found - pixels).mean() < 0.2


def test_each_image_is_scored_by_the_network_that_left_it_out(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    manifest = write_cohort(tmp_path, 48)
    config = Config.model_validate(TINY).changed({"schedule.epochs": 1})
    scored = cross_validate(RunSpec(config, RunSources((manifest,)), tmp_path / "cv", tmp_path / "cache"), CPU)
    cases = read_cases([manifest])
    judge = judge_of(tmp_path / "cv", cases, CPU)
    assert radiograph_of(judge.cases[0]).pixels.shape == (48, 48)
    before, after = lines(judge, [HARD])
    assert (before.name, before.changed, before.moved, before.difference) == (AS_IT_IS, 0, 0, 0)
    called = scored.probabilities >= 0.5
    assert before.sensitivity == pytest.approx(called[scored.labels > 0.5].mean())
    assert before.specificity == pytest.approx((~called[scored.labels < 0.5]).mean())
    assert after.moved > 0 and after.ci95[0] <= after.difference <= after.ci95[1]
    written = list(rows([before, after]))
    assert len(written) == 4 and written[3].startswith(f"| {HARD} | ")
    other = read_cases([write_cohort(tmp_path, 4, name="other")])
    with pytest.raises(TrainingError, match="held out none of these 4 images"):
        judge_of(tmp_path / "cv", other, CPU)
