"""Comparison of two models: over replicates as the paper does, and on the same images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import ttest_ind

from training.errors import TrainingError
from training.runs.scores import PREDICTIONS, RunScores, figures
from training.studies.common_images import on_common_images
from training.studies.p_values import two_sided_p
from triage.statistics.intervals import Floats, auc, bootstrap_values

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Replicates:
    """The paper's test: AUCs of several trainings of either model, two-sided t-test of their means (``ttest_ind``).

    It covers how training varies and not which patients were drawn.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: float
    p_value: float


@dataclass(frozen=True)
class Paired:
    """AUC of the second minus the first on the same images, with a patient-clustered bootstrap.

    Of several trainings of a model, ``first`` and ``second`` are the mean of their AUCs. ``p_value`` is two-sided:
    twice the smaller share of rounds on one side of zero. It covers which patients were drawn and not how training
    varies.
    """

    images: int
    first: float
    second: float
    difference: float
    ci95: tuple[float, float]
    p_value: float


def predictions_of(path: Path) -> RunScores:
    """Read the scores of a run's folder, or of a table. Raises TrainingError."""
    return RunScores.read(path / PREDICTIONS if path.is_dir() else path)


def replicates(first: Sequence[RunScores], second: Sequence[RunScores]) -> Replicates:
    """Return ``ttest_ind`` over AUCs. Raises TrainingError with fewer than two trainings of either model."""
    one, two = (tuple(figures(scored)["auc"] for scored in group) for group in (first, second))
    if min(len(one), len(two)) < 2:
        raise TrainingError("a t-test needs at least two trainings of either model")
    difference = float(np.mean(two) - np.mean(one))
    if float(np.ptp(one)) == float(np.ptp(two)) == 0:  # no spread to test against
        return Replicates(one, two, difference, 0.0 if difference else 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of one model whose trainings all came out alike
        return Replicates(one, two, difference, float(ttest_ind(one, two).pvalue))


def folds_of(scored: RunScores) -> list[RunScores]:
    """Return a cross-validation as replicates: one for each fold."""
    return [scored.where([fold == number for fold in scored.folds]) for number in sorted(set(scored.folds))]


def paired(first: Sequence[RunScores], second: Sequence[RunScores]) -> Paired:
    """Compare on the images that all trainings scored. Raises TrainingError where there are none or labels differ."""
    aligned = on_common_images([*first, *second], lambda scored: scored.images)
    one, two = ([scored.logits for scored in part] for part in (aligned[: len(first)], aligned[len(first) :]))
    labels = aligned[0].labels
    if not 0 < (labels > 0.5).sum() < len(labels):
        raise TrainingError("the images that both scored are all of one class")

    def mean_auc(trainings: Sequence[Floats], chosen: Places) -> float:
        return float(np.mean([auc(labels[chosen], logits[chosen]) for logits in trainings]))

    def difference(chosen: Places) -> float:
        return mean_auc(two, chosen) - mean_auc(one, chosen)

    every = np.arange(len(labels))
    values = np.array(bootstrap_values(difference, aligned[0].patients))
    low, high = np.percentile(values, [2.5, 97.5])
    return Paired(
        images=len(labels),
        first=mean_auc(one, every),
        second=mean_auc(two, every),
        difference=difference(every),
        ci95=(float(low), float(high)),
        p_value=two_sided_p(values),
    )


def paired_by_view(first: Sequence[RunScores], second: Sequence[RunScores]) -> dict[str, Paired]:
    """Compare on ``all`` images, and on those of each view with both classes where there is more than one view."""
    found = {"all": paired(first, second)}
    views = sorted(set(first[0].views) - {""})
    for view in views if len(views) > 1 else ():
        parts = [[one.where([seen == view for seen in one.views]) for one in group] for group in (first, second)]
        if len(set(parts[0][0].labels.tolist())) > 1:
            found[view] = paired(*parts)
    return found
