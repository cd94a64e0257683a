"""Runs that earlier releases began: their configurations are those of the plan today, and their folds stay finished."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config, load_config
from training.config_keys import RENAMED
from training.data.cases import read_cases
from training.errors import TrainingError
from training.runs.run import RECORD, RunCases, RunSources, RunSpec, describe, in_present_form
from training.studies.plan import Job, load_plan
from training.studies.queue import Queue

KEPT = Path(__file__).parents[3] / "docs" / "results" / "runs" / "adult-ablations"
PLANS = ("adult-ablations", "adult-distillation")
RUNS = [(plan, run) for plan in PLANS for run in load_plan(plan).runs if (KEPT / run / "run.json").exists()]
KEY = next(iter(RENAMED)).split(".")[1]


@pytest.mark.parametrize(("plan", "run"), RUNS)
def test_a_kept_run_is_the_run_of_the_plan(plan: str, run: str) -> None:
    record = in_present_form(json.loads((KEPT / run / "run.json").read_text())["config"])
    planned = load_plan(plan).resolved(run)
    now = load_config(planned.config, [f"{key}={json.dumps(value)}" for key, value in planned.set.items()])
    assert record | {"about": ""} == now.model_dump(mode="json") | {"about": ""}


def test_kept_folds_are_finished(tmp_path: Path) -> None:
    queue = Queue(load_plan("adult-ablations"), tmp_path / "home", tmp_path / "data", KEPT)
    folds = [path for path in KEPT.glob("*/fold*.csv") if path.parent.name in queue.plan.runs]
    assert len(folds) > 30
    assert all(queue.finished(Job(path.parent.name, int(path.stem.removeprefix("fold")))) for path in folds)


def test_a_run_that_is_under_way_goes_on_under_the_new_name(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 4)
    config = Config.model_validate(TINY).changed({"data.never_held_out": ("extra",)})
    run = RunSpec(config, RunSources((manifest,)), tmp_path / "run", tmp_path / "cache")
    cases = RunCases(read_cases([manifest]))
    describe(run, "cross-validate", cases)
    path = run.folder / RECORD
    record = json.loads(path.read_text())
    record["config"]["data"][KEY] = record["config"]["data"].pop("never_held_out")
    path.write_text(json.dumps(record))
    describe(run, "cross-validate", cases)
    other = RunSpec(config.changed({"data.never_held_out": ()}), run.source, run.folder, run.cache)
    with pytest.raises(TrainingError, match="holds a run with another config"):
        describe(other, "cross-validate", cases)
