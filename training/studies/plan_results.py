"""Results of a plan's runs: each by its own ranking, and its difference to the first run on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.errors import TrainingError
from training.studies.common_images import on_common_images
from training.studies.p_values import two_sided_p
from training.studies.plan_scores import AT, FIRST_OUTPUT, TOGETHER, Doubles, OutputScores, Question, scores_of_run
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
    """Result of one run. ``difference`` to the first run is on the images that both scored; None for the first."""

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
    """Return the AUC within view, by which half of the runs are stopped; -1 where no fold is finished."""
    outputs = _finished(queue, run, folds)
    return -1.0 if outputs is None else outputs.within


def table(queue: Queue, runs: Sequence[str], tests: int, question: Question = FIRST_OUTPUT) -> list[Line]:
    """Compare every run that has a finished fold with the first of ``runs``.

    A run may be a mean of several, ``a+b``. P values are adjusted for ``tests`` at least (Holm). Raises TrainingError
    where the first run has no finished fold.
    """
    base = scores_of_run(queue, runs[0], None, question)
    there = [(run, outputs) for run in runs[1:] if (outputs := _finished(queue, run, None, question)) is not None]
    lines = [_line(runs[0], base, None), *(_line(run, outputs, base) for run, outputs in there)]
    values = [line.p_value for line in lines[1:]]
    adjusted = holm([*values, *[float("nan")] * max(0, tests - len(values))])
    return [lines[0], *(Line(**{**vars(line), "adjusted": p}) for line, p in zip(lines[1:], adjusted, strict=False))]


def _finished(
    queue: Queue, run: str, folds: Sequence[int] | None = None, question: Question = FIRST_OUTPUT
) -> OutputScores | None:
    if any(AT not in name and queue.plan.resolved(name).single for name in run.split(TOGETHER)):
        return None
    try:
        return scores_of_run(queue, run, folds, question)
    except TrainingError:
        return None


def _line(run: str, outputs: OutputScores, base: OutputScores | None) -> Line:
    called, positive = outputs.logits >= 0, outputs.labels > 0.5
    alone = Line(
        run=run,
        folds=tuple(sorted(set(outputs.folds))),
        images=len(outputs.pictures),
        within=outputs.within,
        within_ci95=percentile_interval(_rounds(outputs, [outputs.logits])[:, 0]),
        by_view={view: _auc_of(outputs, view) for view in sorted(set(outputs.views))},
        everything=auc(outputs.labels, outputs.logits),
        sensitivity=float(called[positive].mean()),
        specificity=float((~called[~positive]).mean()),
    )
    return alone if base is None else Line(**{**vars(alone), **_against(base, outputs)})


def _auc_of(outputs: OutputScores, view: str) -> float:
    part = outputs.take([place for place, one in enumerate(outputs.views) if one == view])
    return auc(part.labels, part.logits)


def _against(base: OutputScores, outputs: OutputScores) -> dict[str, object]:
    """Return the fields of the difference, on the images that both scored."""
    other, same = on_common_images([outputs, base], lambda scored: scored.pictures)
    rounds = _rounds(same, [same.logits, other.logits])
    differences = rounds[:, 1] - rounds[:, 0]
    replicates = [[part.within for part in one.of_folds()] for one in (same, other)]
    return {
        "difference": other.within - same.within,
        "difference_ci95": percentile_interval(differences),
        "p_value": two_sided_p(differences),
        "t_test": t_test(*replicates) if len(replicates[0]) > 1 else float("nan"),
    }


def _rounds(outputs: OutputScores, scores: Sequence[Doubles]) -> Doubles:
    """Return bootstrap rounds of the AUC within view of each score, (rounds, scores), by patient."""
    figures = [weighted_auc_within(outputs.labels, one, outputs.views) for one in scores]
    return Resampling(outputs.patients).over(lambda weights: np.stack([one(weights) for one in figures], axis=1))


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a table in Markdown, for docs/results."""
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
