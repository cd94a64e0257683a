"""The course of trainings that were measured after each epoch: epochs until a stated AUC ("faster training")."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.runs.loop import LOG
from training.studies.queue import MEASURED, Queue
from training.studies.tables import markdown_table
from triage.statistics.intervals import mean_and_sd


@dataclass(frozen=True)
class Course:
    """AUC of the held-out rows after each epoch, by fold."""

    run: str
    folds: Mapping[int, tuple[float, ...]]

    def epochs_to(self, reached: float) -> tuple[int | None, ...]:
        """Return for each fold the first epoch whose AUC is at least ``reached``; None where none is."""
        return tuple(
            next((number for number, auc in enumerate(each, 1) if auc >= reached), None) for each in self.folds.values()
        )

    def after(self, epoch: int) -> tuple[float, float]:
        """Return mean and standard deviation over folds of the AUC after an epoch, counted from 1; -1 is the last."""
        place = epoch if epoch < 0 else epoch - 1
        return mean_and_sd([each[place] for each in self.folds.values()])


def course_of(queue: Queue, run: str) -> Course:
    """Read the logs of a run's folds, here or kept. Raises TrainingError where none was measured after each epoch."""
    folds = sorted({fold for step in queue.plan.steps if run in step.runs and not step.test for fold in step.folds})
    read = {fold: _measured(_places(queue, run, fold)) for fold in folds}
    if not any(read.values()):
        raise TrainingError(f"no training of {run} was measured after each epoch (schedule.validate_after)")
    return Course(run, {fold: each for fold, each in read.items() if each})


def _places(queue: Queue, run: str, fold: int) -> tuple[Path, Path]:
    return queue.home / "runs" / run / f"fold{fold}" / LOG, queue.kept / run / f"fold{fold}.jsonl"


def _measured(places: Sequence[Path]) -> tuple[float, ...]:
    path = next((path for path in places if path.exists()), None)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    records = [json.loads(line) for line in lines]
    return tuple(record[MEASURED] for record in records if MEASURED in record)


def markdown(courses: Sequence[Course], levels: Sequence[float]) -> str:
    """Return the courses as a table in Markdown: the AUC after some epochs, and the epochs until each level."""
    head = ["run", "folds", "AUC after 1 epoch", "after 3", "at the end", *(f"epochs to {level:g}" for level in levels)]
    return markdown_table(head, [[f"`{one.run}`", *_cells(one, levels)] for one in courses])


def _cells(course: Course, levels: Sequence[float]) -> list[str]:
    shortest = min(map(len, course.folds.values()))
    after = [_spread(course.after(epoch)) if epoch <= shortest else "" for epoch in (1, 3, -1)]
    reached = [", ".join("never" if epoch is None else str(epoch) for epoch in course.epochs_to(one)) for one in levels]
    return [str(len(course.folds)), *after, *reached]


def _spread(figure: tuple[float, float]) -> str:
    mean, sd = figure
    return f"{mean:.3f}" if sd != sd else f"{mean:.3f} ± {sd:.3f}"  # of one fold there is no deviation
