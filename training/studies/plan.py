"""A plan: runs in a fixed order, each fold of which is trained once, and which of them go on when half are stopped."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import TrainingError

BUILT_IN = Path(__file__).parent.parent / "plans"


class _PlanPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CohortPlan(_PlanPart):
    """``prepare``: a cohort's name and options, of the folder ``source`` below the data. With ``keep`` only the splits
    that it names stay, under the names it gives; patients of ``without`` are left out.
    """

    prepare: tuple[str, ...] = Field(min_length=1)
    source: str
    keep: dict[str, str] = {}
    without: tuple[str, ...] = ()


class RunPlan(_PlanPart):
    """A configuration, its cohorts and its changes; ``extends`` another run. ``single``: one network, no folds."""

    extends: str = ""
    config: str = ""
    cohorts: tuple[str, ...] = ()
    single: bool = False
    set: dict[str, Any] = {}


class StepPlan(_PlanPart):
    """``runs``, or the better half of some by what their first folds gave, on ``folds``."""

    runs: tuple[str, ...] = ()
    better_half_of: tuple[str, ...] = ()
    folds: tuple[int, ...] = (0,)


class Plan(_PlanPart):
    """What to prepare, what to run, and in what order."""

    about: str = ""
    cohorts: dict[str, CohortPlan]
    runs: dict[str, RunPlan]
    steps: tuple[StepPlan, ...]

    def resolved(self, name: str) -> RunPlan:
        """A run with what it extends. TrainingError for a name that is not there."""
        run = self._run(name)
        if not run.extends:
            return run
        base = self.resolved(run.extends)
        return RunPlan(
            config=run.config or base.config,
            cohorts=run.cohorts or base.cohorts,
            single=run.single or base.single,
            set={**base.set, **run.set},
        )

    def _run(self, name: str) -> RunPlan:
        if name not in self.runs:
            raise TrainingError(f"the plan has no run {name!r}; there are {', '.join(self.runs)}")
        return self.runs[name]


@dataclass(frozen=True)
class Job:
    """One network to train; ``fold`` None for a run without folds."""

    run: str
    fold: int | None


def load_plan(name: str) -> Plan:
    """A TOML file, or one of training/plans by name. TrainingError for what it must not have or lacks."""
    found = [path for path in (Path(name), BUILT_IN / f"{name}.toml") if path.is_file()]
    if not found:
        known = ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.toml")))
        raise TrainingError(f"no plan {name!r}: give a TOML file or one of {known}")
    try:
        plan = Plan.model_validate(tomllib.loads(found[0].read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise TrainingError(f"{found[0]}: {error}") from error
    for step in plan.steps:
        for run in (*step.runs, *step.better_half_of):
            _check_cohorts(plan, plan.resolved(run), run)
    return plan


def _check_cohorts(plan: Plan, run: RunPlan, name: str) -> None:
    unknown = [cohort for cohort in run.cohorts if cohort not in plan.cohorts]
    if unknown or not run.config or not run.cohorts:
        what = f"cohort {unknown[0]!r} is not in the plan" if unknown else "it needs config and cohorts"
        raise TrainingError(f"run {name}: {what}")


def better_half(values: Mapping[str, float]) -> tuple[str, ...]:
    """The names with the highest values, half of them rounded up, in the order they were given."""
    kept = sorted(values, key=lambda name: -values[name])[: -(-len(values) // 2)]
    return tuple(name for name in values if name in kept)
