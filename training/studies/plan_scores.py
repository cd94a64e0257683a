"""Out-of-fold scores of a plan's runs: one output, on all images with a known target or on some."""

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
from triage.statistics.intervals import auc_within, mean_and_sd

Doubles = npt.NDArray[np.float64]

TOGETHER = "+"
"""Between the names of runs whose logits are averaged."""
AT = "@"
"""Between the names of a run and of a cohort that its networks scored as a test."""


@dataclass(frozen=True, eq=False)
class OutputScores:
    """Out-of-fold scores of one output of a run, one entry for each image."""

    pictures: tuple[str, ...]
    patients: tuple[str, ...]
    views: tuple[str, ...]
    folds: tuple[int, ...]
    labels: Doubles
    logits: Doubles

    def take(self, places: Sequence[int]) -> OutputScores:
        """Return the images at these places, in this order."""
        return OutputScores(
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

    @property
    def folds_mean_and_sd(self) -> tuple[float, float]:
        """Mean and standard deviation over folds of the AUC within view; NaN for the latter with one fold."""
        each = [part.within for part in self.of_folds()]
        return mean_and_sd(each) if len(each) > 1 else (each[0], float("nan"))

    def of_folds(self) -> list[OutputScores]:
        """Return the scores of each fold."""
        numbers = sorted(set(self.folds))
        return [self.take([place for place, fold in enumerate(self.folds) if fold == one]) for one in numbers]


@dataclass(frozen=True)
class Question:
    """Output and images to compare runs by.

    ``output`` is the target's name, empty for the first; ``only`` has the values allowed by column of the manifest.
    """

    output: str = ""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes(self, case: TrainingCase) -> bool:
        """Return True if the image is to be compared. Raises TrainingError for a column that the manifest lacks."""
        for column in self.only:
            if column not in case.columns:
                raise TrainingError(f"{case.origin}: no column {column!r}; there are {', '.join(case.columns)}")
        return all(case.columns[column] in values for column, values in self.only.items())


FIRST_OUTPUT = Question()


def scores_of_run(
    queue: Queue, run: str, folds: Sequence[int] | None = None, question: Question = FIRST_OUTPUT
) -> OutputScores:
    """Return the scores of a run, of all folds or of some; of ``run@cohort``, those of a test.

    Of several runs, ``a+b``, it is the mean of the logits on the images that all scored. Raises TrainingError where no
    fold is finished.
    """
    parts = [_scores_of_run_one(queue, name, folds, question) for name in run.split(TOGETHER)]
    first, *others = on_common_images(parts, lambda found: found.pictures)
    return replace(first, logits=np.mean([part.logits for part in (first, *others)], axis=0))


def _scores_of_run_one(queue: Queue, run: str, folds: Sequence[int] | None, question: Question) -> OutputScores:
    bare, _, cohort = run.partition(AT)
    plan = queue.plan.resolved(bare)
    paths = [(job, queue.scores_of(job)) for job in _jobs(queue, bare, cohort, folds)]
    rows = [(-1 if job.fold is None else job.fold, row) for job, path in paths if path for row in _rows(path)]
    if not rows:
        raise TrainingError(f"no fold of {run} is finished")
    name, target = _target(plan, question.output)
    known = _known(queue, cohort or plan.cohorts[0])
    found = _found([known[row["picture"]] for _, row in rows], rows, name, target)
    asked = [question.takes(known[picture]) for picture in found.pictures]
    return found.take(np.flatnonzero(np.array(asked) & ~np.isnan(found.labels)).tolist())


def _jobs(queue: Queue, run: str, cohort: str, folds: Sequence[int] | None) -> list[Job]:
    steps = [step for step in queue.plan.steps if step.test == cohort]
    if cohort:
        return [Job(run, None, cohort, step.split) for step in steps if run in step.runs]
    planned = {fold for step in steps for fold in step.folds} if folds is None else set(folds)
    return [Job(run, fold) for fold in sorted(planned)]


def _target(plan: RunPlan, output: str) -> tuple[str, TargetConfig]:
    targets = load_config(plan.config).targets
    name = output or next(iter(targets))
    if name not in targets:
        raise TrainingError(f"{plan.config} has no output {name!r}; there are {', '.join(targets)}")
    return name, targets[name]


def _found(
    cases: Sequence[TrainingCase], rows: Sequence[tuple[int, Mapping[str, str]]], name: str, target: TargetConfig
) -> OutputScores:
    return OutputScores(
        tuple(case.picture for case in cases),
        tuple(case.patient for case in cases),
        tuple(case.view for case in cases),
        tuple(fold for fold, _ in rows),
        target_matrix(cases, {name: target})[:, 0].astype(np.float64),
        np.array([float(row[name]) for _, row in rows]),
    )


def _known(queue: Queue, name: str) -> dict[str, TrainingCase]:
    """Return the rows of a cohort by picture: those that may be held out are of a run's first cohort."""
    cases = read_cases([prepared(queue, name, queue.plan.cohorts[name])])
    return {case.picture: case for case in cases}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
