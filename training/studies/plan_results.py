"""What a plan's runs gave: each by its own ranking, and its difference to the first on the same images."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import load_config
from training.data.cases import Case, read_cases
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.studies.plan import Job, RunPlan
from training.studies.queue import Queue, prepared
from triage.statistics.intervals import (
    Bounds,
    Resampling,
    auc,
    auc_within,
    holm,
    percentile_interval,
    t_test,
    weighted_auc_within,
)

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Found:
    """Images of which a run's first output was scored out of fold."""

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
class Line:
    """One run. ``difference`` to the first run on the images that both scored, None for the first itself."""

    run: str
    folds: tuple[int, ...]
    images: int
    within: float
    within_ci95: Bounds
    by_view: Mapping[str, float]
    everything: float
    sensitivity: float
    specificity: float
    difference: float | None = None
    difference_ci95: Bounds | None = None
    p_value: float = float("nan")
    t_test: float = float("nan")
    adjusted: float = float("nan")


def found_of(queue: Queue, run: str, folds: Sequence[int] | None = None) -> Found:
    """What is there of a run, of all folds or of some. TrainingError where nothing is."""
    planned = sorted({fold for step in queue.plan.steps for fold in step.folds}) if folds is None else folds
    paths = [(fold, queue.scores_of(Job(run, fold))) for fold in planned]
    rows = [(fold, row) for fold, path in paths if path is not None for row in _rows(path)]
    if not rows:
        raise TrainingError(f"no fold of {run} is finished")
    plan = queue.plan.resolved(run)
    known = _known(queue, plan)
    first = next(iter(load_config(plan.config).targets))
    cases = [known[row["picture"]] for _, row in rows]
    labels = target_matrix(cases, {first: load_config(plan.config).targets[first]})[:, 0].astype(np.float64)
    return Found(
        tuple(case.picture for case in cases),
        tuple(case.patient for case in cases),
        tuple(case.view for case in cases),
        tuple(fold for fold, _ in rows),
        labels,
        np.array([float(row[first]) for _, row in rows]),
    )


def _known(queue: Queue, plan: RunPlan) -> dict[str, Case]:
    """The rows that may be held out, by picture: those of the first cohort."""
    name = plan.cohorts[0]
    cases = read_cases([prepared(queue, name, queue.plan.cohorts[name])])
    return {case.picture: case for case in cases}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measure(queue: Queue, run: str, folds: Sequence[int]) -> float:
    """AUC within view, by which half of the runs are stopped; below all others where no training ended."""
    found = _there(queue, run, folds)
    return -1.0 if found is None else found.within


def table(queue: Queue, runs: Sequence[str], tests: int) -> list[Line]:
    """Every run with a finished fold against the first of ``runs``; p values adjusted for ``tests`` at least.

    TrainingError where the first has none.
    """
    base = found_of(queue, runs[0])
    there = [(run, found) for run in runs[1:] if (found := _there(queue, run)) is not None]
    lines = [_line(runs[0], base, None), *(_line(run, found, base) for run, found in there)]
    values = [line.p_value for line in lines[1:]]
    adjusted = holm([*values, *[float("nan")] * max(0, tests - len(values))])
    return [lines[0], *(Line(**{**vars(line), "adjusted": p}) for line, p in zip(lines[1:], adjusted, strict=False))]


def _there(queue: Queue, run: str, folds: Sequence[int] | None = None) -> Found | None:
    if queue.plan.resolved(run).single:
        return None
    try:
        return found_of(queue, run, folds)
    except TrainingError:
        return None


def _line(run: str, found: Found, base: Found | None) -> Line:
    called, positive = found.logits >= 0, found.labels > 0.5
    alone = Line(
        run=run,
        folds=tuple(sorted(set(found.folds))),
        images=len(found.pictures),
        within=found.within,
        within_ci95=percentile_interval(_rounds(found, [found.logits])[:, 0]),
        by_view={view: _auc_of(found, view) for view in sorted(set(found.views))},
        everything=auc(found.labels, found.logits),
        sensitivity=float(called[positive].mean()),
        specificity=float((~called[~positive]).mean()),
    )
    return alone if base is None else Line(**{**vars(alone), **_against(base, found)})


def _auc_of(found: Found, view: str) -> float:
    part = found.take([place for place, one in enumerate(found.views) if one == view])
    return auc(part.labels, part.logits)


def _against(base: Found, found: Found) -> dict[str, object]:
    """On the images that both scored."""
    place = {picture: number for number, picture in enumerate(base.pictures)}
    common = [number for number, picture in enumerate(found.pictures) if picture in place]
    other = found.take(common)
    same = base.take([place[picture] for picture in other.pictures])
    if not np.array_equal(same.labels, other.labels):
        raise TrainingError("the two have other labels for the same images")
    rounds = _rounds(same, [same.logits, other.logits])
    differences = rounds[:, 1] - rounds[:, 0]
    tail = min(float((differences <= 0).mean()), float((differences >= 0).mean()))
    replicates = [[part.within for part in one.of_folds()] for one in (same, other)]
    return {
        "difference": other.within - same.within,
        "difference_ci95": percentile_interval(differences),
        "p_value": min(1.0, 2 * max(tail, 1 / len(differences))),
        "t_test": t_test(*replicates) if len(replicates[0]) > 1 else float("nan"),
    }


def _rounds(found: Found, scores: Sequence[Doubles]) -> Doubles:
    """AUC within view of each score, (rounds, scores), whole patients drawn."""
    figures = [weighted_auc_within(found.labels, one, found.views) for one in scores]
    return Resampling(found.patients).over(lambda weights: np.stack([one(weights) for one in figures], axis=1))


def markdown(lines: Sequence[Line]) -> str:
    """As a table for docs/results."""
    views = sorted({view for line in lines for view in line.by_view})
    head = ["run", "folds", "images", "within view", *(f"{view} only" for view in views), "all", "sens., spec. at 0.5"]
    head += ["difference within view", "p, adjusted", "t-test over folds"]
    rows = [head, ["---"] * len(head), *(_cells(line, views) for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(line: Line, views: Sequence[str]) -> list[str]:
    cells = [f"`{line.run}`", ", ".join(map(str, line.folds)), str(line.images), _with(line.within, line.within_ci95)]
    cells += [f"{line.by_view[view]:.3f}" if view in line.by_view else "" for view in views]
    cells += [f"{line.everything:.3f}", f"{line.sensitivity:.2f}, {line.specificity:.2f}"]
    if line.difference is None or line.difference_ci95 is None:
        return [*cells, "", "", ""]
    p_values = [f"{value:.3f}" if np.isfinite(value) else "" for value in (line.adjusted, line.t_test)]
    return [*cells, _with(line.difference, line.difference_ci95, "+"), *p_values]


def _with(value: float, bounds: Bounds, sign: str = "") -> str:
    return f"{value:{sign}.3f} ({bounds[0]:{sign}.3f} to {bounds[1]:{sign}.3f})"
