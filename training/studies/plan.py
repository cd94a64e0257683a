"""A plan: runs in a fixed order, each fold trained once, and the rule by which half of the runs are stopped."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from training.config_keys import dotted_in_new_spelling
from training.errors import TrainingError

BUILT_IN = Path(__file__).parent.parent / "plans"


class _PlanPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CohortPlan(_PlanPart):
    """One cohort: ``prepare`` is its name and options, ``source`` its folder below the data.

    With ``keep`` only the splits that it names stay, under the names it gives; patients of ``without`` are left out.
    With ``only`` those rows stay that have one of its values in a column. Rows of ``test_folds`` are of split ``test``
    and of no fold.
    """

    prepare: tuple[str, ...] = Field(min_length=1)
    source: str
    keep: dict[str, str] = {}
    without: tuple[str, ...] = ()
    only: dict[str, tuple[str, ...]] = {}
    test_folds: tuple[int, ...] = ()


class RunPlan(_PlanPart):
    """One run: configuration, cohorts and changes; ``extends`` another run. ``single``: one network, no folds."""

    extends: str = ""
    config: str = ""
    cohorts: tuple[str, ...] = ()
    single: bool = False
    set: dict[str, object] = {}

    @field_validator("set", mode="after")
    @classmethod
    def _former_keys(cls, value: dict[str, object]) -> dict[str, object]:
        return dotted_in_new_spelling(value)


class StepPlan(_PlanPart):
    """One step: ``runs``, or the better half of some by their figures on earlier folds, on ``folds``.

    With ``test``, a cohort, nothing is trained: its rows of split ``split`` are scored by the mean of each run's
    networks, once.
    """

    runs: tuple[str, ...] = ()
    better_half_of: tuple[str, ...] = ()
    folds: tuple[int, ...] = (0,)
    test: str = ""
    split: str = "test"


class Plan(_PlanPart):
    """The cohorts to prepare, the runs, and the order of the steps."""

    about: str = ""
    cohorts: dict[str, CohortPlan]
    runs: dict[str, RunPlan]
    steps: tuple[StepPlan, ...]

    def resolved(self, name: str) -> RunPlan:
        """Return a run merged with the run that it extends. Raises TrainingError for an unknown name."""
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
    """One network to train; ``fold`` is None for a run without folds.

    With ``test``, the scoring of that cohort's rows of split ``split`` by the run's networks.
    """

    run: str
    fold: int | None
    test: str = ""
    split: str = ""

    @property
    def test_name(self) -> str:
        """Name of the files with the scores of a test."""
        return f"test-{self.test}-{self.split}"

    def __str__(self) -> str:
        return f"{self.run}, {self.test_name}" if self.test else f"{self.run}, fold {self.fold}"


def load_plan(name: str) -> Plan:
    """Read a TOML file, or one of training/plans by name. Raises TrainingError for unknown or missing keys."""
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
        if step.test and step.test not in plan.cohorts:
            raise TrainingError(f"the cohort {step.test!r} of a test is not in the plan")
    return plan


def _check_cohorts(plan: Plan, run: RunPlan, name: str) -> None:
    unknown = [cohort for cohort in run.cohorts if cohort not in plan.cohorts]
    if unknown or not run.config or not run.cohorts:
        fault = f"cohort {unknown[0]!r} is not in the plan" if unknown else "it needs config and cohorts"
        raise TrainingError(f"run {name}: {fault}")


def better_half(values: Mapping[str, float]) -> tuple[str, ...]:
    """Return the names with the highest values, half of them rounded up, in the given order."""
    kept = sorted(values, key=lambda name: -values[name])[: -(-len(values) // 2)]
    return tuple(name for name in values if name in kept)
