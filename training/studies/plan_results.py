"""Results of a plan's runs: each by its own ranking, and its difference to the first run on the same images.

The networks of two folds do not share a scale. Where they differ much, pairs of images of two folds say nothing of a
recipe; ``Comparison.within_folds`` leaves them out, as the paper does, which compares the folds' AUCs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from training.errors import TrainingError
from training.studies.common_images import on_common_images
from training.studies.p_values import two_sided_p
from training.studies.plan_scores import AT, FIRST_OUTPUT, TOGETHER, Doubles, OutputScores, Question, scores_of_run
from training.studies.queue import Queue
from training.studies.tables import markdown_table, with_bounds
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


@dataclass(frozen=True)
class Comparison:
    """Manner of a comparison: P values are adjusted for ``tests`` at least (Holm), of pairs within folds or of all."""

    tests: int = 0
    question: Question = FIRST_OUTPUT
    within_folds: bool = False

    def groups(self, outputs: OutputScores) -> tuple[str, ...]:
        """Return the group of each image, pairs of which count: its view, or its fold and view."""
        if not self.within_folds:
            return outputs.views
        return tuple(f"{fold} {view}" for fold, view in zip(outputs.folds, outputs.views, strict=True))

    def auc(self, outputs: OutputScores) -> float:
        """Return the AUC over pairs of one group."""
        return auc_within(outputs.labels, outputs.logits, self.groups(outputs))

    def adjusted(self, p_values: Sequence[float]) -> list[float]:
        """Return the p values after Holm."""
        return holm([*p_values, *[float("nan")] * max(0, self.tests - len(p_values))])[: len(p_values)]


@dataclass(frozen=True)
class Line:
    """Result of one run. ``difference`` to the first run is on the images that both scored; None for the first."""

    run: str
    folds: tuple[int, ...]
    images: int
    within: float
    within_ci95: Bounds
    folds_mean: float
    folds_sd: float
    by_view: Mapping[str, float]
    everything: float
    sensitivity: float
    specificity: float
    difference: float | None = None
    difference_ci95: Bounds | None = None
    p_value: float = float("nan")
    t_test: float = float("nan")
    adjusted: float = float("nan")


PLAIN = Comparison()


def measure(queue: Queue, run: str, folds: Sequence[int]) -> float:
    """Return the AUC within view, by which half of the runs are stopped; -1 where no fold is finished."""
    outputs = _finished(queue, run, folds)
    return -1.0 if outputs is None else outputs.within


@dataclass(frozen=True)
class PairOfRuns:
    """Difference of two runs, ``first`` less ``second``, on the images that both scored."""

    first: str
    second: str
    difference: float
    difference_ci95: Bounds
    p_value: float
    t_test: float
    adjusted: float = float("nan")


def table(queue: Queue, runs: Sequence[str], how: Comparison = PLAIN) -> list[Line]:
    """Compare every run that has a finished fold with the first of ``runs``.

    A run may be a mean of several, ``a+b``. Raises TrainingError where the first run has no finished fold.
    """
    base = scores_of_run(queue, runs[0], None, how.question)
    there = [(run, found) for run in runs[1:] if (found := _finished(queue, run, None, how.question)) is not None]
    lines = [_line(runs[0], base, None, how), *(_line(run, found, base, how) for run, found in there)]
    adjusted = how.adjusted([line.p_value for line in lines[1:]])
    return [lines[0], *(Line(**{**vars(line), "adjusted": p}) for line, p in zip(lines[1:], adjusted, strict=True))]


def pairs(queue: Queue, runs: Sequence[str], how: Comparison = PLAIN) -> list[PairOfRuns]:
    """Compare every two of the runs that have a finished fold; P values are adjusted over all these pairs."""
    there = [(run, found) for run in runs if (found := _finished(queue, run, None, how.question)) is not None]
    compared = [
        PairOfRuns(first, second, **_against(base, outputs, how))
        for (first, outputs), (second, base) in combinations(there, 2)
    ]
    adjusted = how.adjusted([pair.p_value for pair in compared])
    return [PairOfRuns(**{**vars(pair), "adjusted": p}) for pair, p in zip(compared, adjusted, strict=True)]


def _finished(
    queue: Queue, run: str, folds: Sequence[int] | None = None, question: Question = FIRST_OUTPUT
) -> OutputScores | None:
    if any(AT not in name and queue.plan.resolved(name).single for name in run.split(TOGETHER)):
        return None
    try:
        return scores_of_run(queue, run, folds, question)
    except TrainingError:
        return None


def _line(run: str, outputs: OutputScores, base: OutputScores | None, how: Comparison) -> Line:
    called, positive = outputs.logits >= 0, outputs.labels > 0.5
    mean, deviation = outputs.folds_mean_and_sd
    alone = Line(
        run=run,
        folds=tuple(sorted(set(outputs.folds))),
        images=len(outputs.pictures),
        within=how.auc(outputs),
        within_ci95=percentile_interval(_rounds(outputs, [outputs.logits], how)[:, 0]),
        folds_mean=mean,
        folds_sd=deviation,
        by_view={view: _auc_of(outputs, view) for view in sorted(set(outputs.views))},
        everything=auc(outputs.labels, outputs.logits),
        sensitivity=float(called[positive].mean()),
        specificity=float((~called[~positive]).mean()),
    )
    return alone if base is None else Line(**{**vars(alone), **_against(base, outputs, how)})


def _auc_of(outputs: OutputScores, view: str) -> float:
    part = outputs.take([place for place, one in enumerate(outputs.views) if one == view])
    return auc(part.labels, part.logits)


def _against(base: OutputScores, outputs: OutputScores, how: Comparison) -> dict[str, Any]:
    """Return the fields of the difference, on the images that both scored."""
    other, same = on_common_images([outputs, base], lambda scored: scored.pictures)
    rounds = _rounds(same, [same.logits, other.logits], how)
    differences = rounds[:, 1] - rounds[:, 0]
    replicates = [[part.within for part in one.of_folds()] for one in (same, other)]
    return {
        "difference": how.auc(other) - how.auc(same),
        "difference_ci95": percentile_interval(differences),
        "p_value": two_sided_p(differences),
        "t_test": t_test(*replicates) if len(replicates[0]) > 1 else float("nan"),
    }


def _rounds(outputs: OutputScores, scores: Sequence[Doubles], how: Comparison) -> Doubles:
    """Return bootstrap rounds of the AUC over pairs of one group of each score, (rounds, scores), by patient."""
    figures = [weighted_auc_within(outputs.labels, one, how.groups(outputs)) for one in scores]
    return Resampling(outputs.patients).over(lambda weights: np.stack([one(weights) for one in figures], axis=1))


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a table in Markdown, for docs/results."""
    views = sorted({view for line in lines for view in line.by_view})
    head = ["run", "folds", "images", "within view", "mean ± SD of folds", *(f"{view} only" for view in views), "all"]
    head += ["sens., spec. at 0.5", "difference within view", "p, adjusted", "t-test over folds"]
    return markdown_table(head, [_cells(line, views) for line in lines])


def pairs_markdown(found: Sequence[PairOfRuns]) -> str:
    """Return the pairs as a table in Markdown, for docs/results."""
    head = ["run", "less", "difference within view", "p, adjusted", "t-test over folds"]
    return markdown_table(head, [[f"`{pair.first}`", f"`{pair.second}`", *_difference(pair)] for pair in found])


def _cells(line: Line, views: Sequence[str]) -> list[str]:
    cells = [
        f"`{line.run}`",
        ", ".join(map(str, line.folds)),
        str(line.images),
        with_bounds(line.within, line.within_ci95),
    ]
    cells += [f"{line.folds_mean:.3f} ± {line.folds_sd:.3f}" if len(line.folds) > 1 else ""]
    cells += [f"{line.by_view[view]:.3f}" if view in line.by_view else "" for view in views]
    return [*cells, f"{line.everything:.3f}", f"{line.sensitivity:.2f}, {line.specificity:.2f}", *_difference(line)]


def _difference(line: Line | PairOfRuns) -> list[str]:
    if line.difference is None or line.difference_ci95 is None:
        return ["", "", ""]
    p_values = [f"{value:.3f}" if np.isfinite(value) else "" for value in (line.adjusted, line.t_test)]
    return [with_bounds(line.difference, line.difference_ci95, "+"), *p_values]
