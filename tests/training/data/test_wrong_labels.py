"""Labels turned on purpose: as many as stated, the same for a seed, and never those of rows that validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config, TargetConfig
from training.data.cases import read_cases
from training.data.targets import target_matrix
from training.data.wrong_labels import RECORD, drawn, turned
from training.runs.devices import Process
from training.runs.run import RunSources, RunSpec
from training.runs.train import train

TARGETS = {"abnormal": TargetConfig(), "age": TargetConfig(column="age", kind="number")}


def test_a_smaller_share_is_part_of_a_larger_one_and_of_the_seed_alone(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 40)])
    few, many = drawn(cases, 0.1, 3), drawn(cases[::-1], 0.4, 3)
    assert (len(few), len(many)) == (4, 16) and few < many
    assert drawn(cases, 0.4, 4) != many and drawn(cases, 0.0, 3) == frozenset()


def test_classes_are_turned_and_numbers_and_unknown_ones_stay(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 8)])
    matrix = target_matrix(cases, TARGETS)
    matrix[0, 0] = np.nan
    found = turned(matrix, cases, frozenset({cases[0].image, cases[1].image}), TARGETS)
    assert np.isnan(found[0, 0]) and found[1, 0] == 1 - matrix[1, 0]
    assert (found[2:] == matrix[2:]).all() and (found[:, 1] == matrix[:, 1]).all()


def test_a_run_records_what_it_turned_and_is_judged_by_the_labels_as_they_are(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    config = Config.model_validate(TINY).changed({"data.wrong_labels": 0.25, "schedule.epochs": 1})
    run = RunSpec(config, RunSources((manifest,)), tmp_path / "run", tmp_path / "cache")
    torch.set_num_threads(1)
    scored = train(run, Process(torch.device("cpu")))
    assert scored is not None
    labels = {str(case.image.resolve()): case.label for case in read_cases([manifest])}
    assert [labels[image] for image in scored.images] == scored.labels.tolist()
    names = (run.folder / RECORD).read_text().splitlines()
    assert len(names) == round(0.25 * (48 - len(scored.images)))
    assert not {Path(image).name for image in scored.images} & set(names)
