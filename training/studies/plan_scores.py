"""What runs of a plan say of the images out of fold: one output, of all images that have an answer or of some."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import TargetConfig, load_config
from training.data.cases import TrainingCase, read_cases
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.studies.common_images import on_common_images
from training.studies.plan import Job, RunPlan
from training.studies.queue import Queue, prepared
from triage.statistics.intervals import auc_within

Doubles = npt.NDArray[np.float64]

TOGETHER = "+"
"""Between the names of runs whose logits are averaged."""


@dataclass(frozen=True, eq=False)
class Found:
    """Images of which one output of a run was scored out of fold."""

    pictures: tuple[str, ...]
    patients: tuple[str, ...]
    views: tuple[str, ...]
    folds: tuple[int, ...]
    labels: Doubles
    logits: Doubles

    def take(self, places: Sequence[int]) -> Found:
        """These images, in this order."""
        return Found(
            tuple(self.pictures[place] for place in places),
            tuple(self.patients[place] for place in places),
            tuple(self.views[place] for place in places),
            tuple(self.folds[place] for place in places),
            self.labels[list(places)],
            self.logits[list(places)],
        )

    @property
    def within(self) -> float:
        """AUC within view."""
        return auc_within(self.labels, self.logits, self.views)

    def of_folds(self) -> list[Found]:
        """Fold by fold."""
        numbers = sorted(set(self.folds))
        return [self.take([place for place, fold in enumerate(self.folds) if fold == one]) for one in numbers]


@dataclass(frozen=True)
class Question:
    """What is asked of the runs. ``output``: the target, the first where it is empty; ``only``: by column of the
    manifest, the values that an image must have one of.
    """

    output: str = ""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes(self, case: TrainingCase) -> bool:
        """Whether the image is asked about. TrainingError for a column that the manifest lacks."""
        for column in self.only:
            if column not in case.columns:
                raise TrainingError(f"{case.origin}: no column {column!r}; there are {', '.join(case.columns)}")
        return all(case.columns[column] in values for column, values in self.only.items())


FIRST_OUTPUT = Question()


def found_of(queue: Queue, run: str, folds: Sequence[int] | None = None, question: Question = FIRST_OUTPUT) -> Found:
    """What is there of a run, of all folds or of some; of several, ``a+b``, the mean of the logits of what all scored.

    TrainingError where nothing is.
    """
    parts = [_found_of_one(queue, name, folds, question) for name in run.split(TOGETHER)]
    first, *others = on_common_images(parts, lambda found: found.pictures)
    return replace(first, logits=np.mean([part.logits for part in (first, *others)], axis=0))


def _found_of_one(queue: Queue, run: str, folds: Sequence[int] | None, question: Question) -> Found:
    planned = sorted({fold for step in queue.plan.steps for fold in step.folds}) if folds is None else folds
    paths = [(fold, queue.scores_of(Job(run, fold))) for fold in planned]
    rows = [(fold, row) for fold, path in paths if path is not None for row in _rows(path)]
    if not rows:
        raise TrainingError(f"no fold of {run} is finished")
    plan = queue.plan.resolved(run)
    name, target = _target(plan, question.output)
    known = _known(queue, plan)
    found = _found([known[row["picture"]] for _, row in rows], rows, name, target)
    asked = [question.takes(known[picture]) for picture in found.pictures]
    return found.take(np.flatnonzero(np.array(asked) & ~np.isnan(found.labels)).tolist())


def _target(plan: RunPlan, output: str) -> tuple[str, TargetConfig]:
    targets = load_config(plan.config).targets
    name = output or next(iter(targets))
    if name not in targets:
        raise TrainingError(f"{plan.config} has no output {name!r}; there are {', '.join(targets)}")
    return name, targets[name]


def _found(
    cases: Sequence[TrainingCase], rows: Sequence[tuple[int, Mapping[str, str]]], name: str, target: TargetConfig
) -> Found:
    return Found(
        tuple(case.picture for case in cases),
        tuple(case.patient for case in cases),
        tuple(case.view for case in cases),
        tuple(fold for fold, _ in rows),
        target_matrix(cases, {name: target})[:, 0].astype(np.float64),
        np.array([float(row[name]) for _, row in rows]),
    )


def _known(queue: Queue, plan: RunPlan) -> dict[str, TrainingCase]:
    """The rows that may be held out, by picture: those of the first cohort."""
    name = plan.cohorts[0]
    cases = read_cases([prepared(queue, name, queue.plan.cohorts[name])])
    return {case.picture: case for case in cases}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
