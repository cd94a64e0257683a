"""What a plan's runs gave: each by its own ranking, and its difference to the first on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.errors import TrainingError
from training.studies.common_images import on_common_images
from training.studies.plan_scores import FIRST_OUTPUT, TOGETHER, Doubles, Found, Question, found_of
from training.studies.queue import Queue
from triage.statistics.intervals import (
    Bounds,
    Resampling,
    auc,
    holm,
    percentile_interval,
    t_test,
    weighted_auc_within,
)


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


def measure(queue: Queue, run: str, folds: Sequence[int]) -> float:
    """AUC within view, by which half of the runs are stopped; below all others where no training ended."""
    found = _there(queue, run, folds)
    return -1.0 if found is None else found.within


def table(queue: Queue, runs: Sequence[str], tests: int, question: Question = FIRST_OUTPUT) -> list[Line]:
    """Every run with a finished fold against the first of ``runs``; p values adjusted for ``tests`` at least.

    A run may be a mean of several, ``a+b``.

    TrainingError where the first has none.
    """
    base = found_of(queue, runs[0], None, question)
    there = [(run, found) for run in runs[1:] if (found := _there(queue, run, None, question)) is not None]
    lines = [_line(runs[0], base, None), *(_line(run, found, base) for run, found in there)]
    values = [line.p_value for line in lines[1:]]
    adjusted = holm([*values, *[float("nan")] * max(0, tests - len(values))])
    return [lines[0], *(Line(**{**vars(line), "adjusted": p}) for line, p in zip(lines[1:], adjusted, strict=False))]


def _there(
    queue: Queue, run: str, folds: Sequence[int] | None = None, question: Question = FIRST_OUTPUT
) -> Found | None:
    if any(queue.plan.resolved(name).single for name in run.split(TOGETHER)):
        return None
    try:
        return found_of(queue, run, folds, question)
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
    other, same = on_common_images([found, base], lambda scored: scored.pictures)
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
