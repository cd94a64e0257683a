"""Plans: what they extend, what is wrong in them, and which half goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.config import load_config
from training.errors import TrainingError
from training.studies.plan import BUILT_IN, better_half, load_plan

PLAN = """
[cohorts.one]
prepare = ["folder"]
source = "one"

[runs.base]
config = "modern"
cohorts = ["one"]
set = { "schedule.epochs" = 3 }

[runs.longer]
extends = "base"
set = { "schedule.epochs" = 6, "input.size" = 160 }

[[steps]]
runs = ["longer"]
"""


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.toml")), ids=lambda path: path.stem)
def test_every_plan_that_ships_names_configurations_and_keys_that_are_there(path: Path) -> None:
    plan = load_plan(path.stem)
    for name in plan.runs:
        run = plan.resolved(name)
        assert load_config(run.config).changed(run.set)


def test_a_run_is_what_it_extends_and_what_it_changes(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    run = load_plan(str(tmp_path / "plan.toml")).resolved("longer")
    assert (run.config, run.cohorts) == ("modern", ("one",))
    assert run.set == {"schedule.epochs": 6, "input.size": 160}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('runs = ["longer"]', 'runs = ["shorter"]', "no run 'shorter'; there are base, longer"),
        ('cohorts = ["one"]', 'cohorts = ["two"]', "run longer: cohort 'two' is not in the plan"),
        ('config = "modern"', "", "run longer: it needs config and cohorts"),
        ('extends = "base"', 'extend = "base"', "Extra inputs"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace(old, new))
    with pytest.raises(TrainingError, match=message):
        load_plan(str(tmp_path / "plan.toml"))


def test_an_unknown_plan_is_told_what_there_is() -> None:
    with pytest.raises(TrainingError, match=r"no plan 'nothing'.*adult-ablations"):
        load_plan("nothing")


def test_the_better_half_goes_on_rounded_up_and_in_order() -> None:
    assert better_half({"a": 0.8, "b": 0.9, "c": 0.7, "d": 0.85}) == ("b", "d")
    assert better_half({"a": 0.8, "b": 0.7, "c": 0.9}) == ("a", "c")


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.toml")))
def test_every_run_of_our_plans_has_a_configuration_and_is_trained_before_others_start_from_it(name: str) -> None:
    plan = load_plan(name)
    trained: set[str] = set()
    for run in (run for step in plan.steps for run in (*step.runs, *step.better_half_of)):
        planned = plan.resolved(run)
        changes = [f"{key}={json.dumps(value)}" for key, value in planned.set.items()]
        start = load_config(planned.config, changes).model.weights
        assert not start.startswith("run:") or start.split("/")[1] in trained, run
        trained.add(run)


def test_the_released_models_are_trained_as_their_recipes_say() -> None:
    adults, children = load_plan("release-adults"), load_plan("release-children")
    assert adults.resolved("rsna-adult") == children.resolved("rsna-adult")
    assert adults.resolved("rsna-adult").set == {"input.crop": "border", "data.carve": 0}
    start = {"model.weights": "run:runs/rsna-adult", "input.crop": "border", "augmentation.fade": 0.0}
    assert children.resolved("pediatric").set == start
