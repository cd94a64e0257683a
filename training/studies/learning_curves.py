"""Comparison of learning curves: which recipe learns more from the same few images, also at equal appearance.

The networks of a study (one for each fold and number of images) are scored on different patients, so each is measured
by its own ranking, and the figure of a recipe is the mean over its networks: scores of two networks are never ranked
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.runs.run import TrainingRun
from training.runs.scores import RunScores, figures, joined
from training.studies.compare import folds_of, predictions_of
from training.studies.p_values import two_sided_p
from triage.statistics.intervals import Resampling, mean_and_sd, percentile_interval, t_test, weighted_auc

Doubles = npt.NDArray[np.float64]
Weighting: TypeAlias = Callable[[RunScores], Doubles]
"""Weights (n,) of the images of one network's scores."""
AppearanceScores: TypeAlias = Mapping[str, float]
"""Probability of the positive class by appearance alone, by image (training/studies/shortcuts.py)."""


@dataclass(frozen=True)
class Spread:
    """A figure of each network, their mean and standard deviation, and the mean's 95 % interval by patient."""

    each: tuple[float, ...]
    ci95: tuple[float, float]

    @property
    def mean(self) -> float:
        """Mean over the networks."""
        return mean_and_sd(self.each)[0]

    @property
    def sd(self) -> float:
        """Standard deviation over the networks."""
        return mean_and_sd(self.each)[1]


@dataclass(frozen=True)
class Difference:
    """Mean AUC of the second recipe minus the first's on the same images.

    ``ci95`` and ``p_patients`` (twice the smaller share of rounds on one side of zero) are of the patient-clustered
    bootstrap: which patients were drawn. ``p_replicates`` is the paper's t-test over the networks: how training varies.
    """

    value: float
    ci95: tuple[float, float]
    p_patients: float
    p_replicates: float


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """Networks of one recipe trained on ``images`` images: the scores of each on the images it did not train on."""

    recipe: str
    images: int
    networks: tuple[RunScores, ...]

    @cached_property
    def together(self) -> RunScores:
        """Scores of all networks together, an image once for each network that scored it."""
        return joined(self.networks)

    @property
    def at_half(self) -> tuple[float, float]:
        """Sensitivity and specificity at 0.5, means over the networks."""
        each = [figures(scored) for scored in self.networks]
        sensitivity, specificity = (
            float(np.mean([one[name] for one in each])) for name in ("sensitivity", "specificity")
        )
        return sensitivity, specificity


def points_of(recipe: str, studies: Sequence[Path]) -> list[CurvePoint]:
    """Read the folders of the command learning-curve, fewest images first; several folders are more networks.

    Raises TrainingError for a folder without finished runs.
    """
    found: dict[int, list[RunScores]] = {}
    for study in studies:
        runs = sorted(path.parent for path in study.glob("images=*/predictions.csv"))
        if not runs:
            raise TrainingError(f"{study} holds no finished run of learning-curve")
        for folder in runs:
            run, networks = TrainingRun.open(folder, check_manifests=False), folds_of(predictions_of(folder))
            found.setdefault(run.config.data.limit, []).extend(networks)
    ordered = sorted(found.items(), key=lambda item: item[0] or np.inf)
    return [CurvePoint(recipe, images, tuple(networks)) for images, networks in ordered]


def mean_auc(point: CurvePoint, weights_of: Weighting) -> Callable[[Doubles], Doubles]:
    """Return a function from weights (b, n) of ``point.together`` to the mean AUC (b,) of the networks."""
    ends = np.cumsum([len(scored.images) for scored in point.networks])
    parts = [
        (slice(end - len(scored.images), end), weighted_auc(scored.labels, scored.logits), weights_of(scored))
        for end, scored in zip(ends, point.networks, strict=True)
    ]

    def figure(weights: Doubles) -> Doubles:
        return np.asarray(np.mean([auc(weights[:, part] * own) for part, auc, own in parts], axis=0))

    return figure


def equal_weights(scored: RunScores) -> Doubles:
    """Return weight 1 for every image."""
    return np.ones(len(scored.images))


def overlap_weights(appearance: AppearanceScores) -> Weighting:
    """Return weights by the probability of the other class from appearance: overlap weights (Li et al. 2018).

    They raise TrainingError for an image without a score of its appearance.
    """

    def weights(scored: RunScores) -> Doubles:
        try:
            chance = np.array([appearance[image] for image in scored.images])
        except KeyError as error:
            raise TrainingError(f"{error.args[0]} was scored and is in none of the given manifests") from error
        return np.where(scored.labels > 0.5, 1 - chance, chance)

    return weights


def spread(point: CurvePoint, weights_of: Weighting = equal_weights) -> Spread:
    """Return the AUC of the networks of ``point``."""
    each = [weighted_auc(one.labels, one.logits)(weights_of(one)[np.newaxis]) for one in point.networks]
    over = Resampling(point.together.patients).over(mean_auc(point, weights_of))
    return Spread(tuple(float(value[0]) for value in each), percentile_interval(over))


def difference(first: CurvePoint, second: CurvePoint, weights_of: Weighting = equal_weights) -> Difference:
    """Return the difference of ``second`` to ``first``. Raises TrainingError unless folds and images are the same."""
    one, two = first.together, second.together
    if (one.images, one.folds) != (two.images, two.folds):
        raise TrainingError(f"{first.recipe} and {second.recipe} at {first.images} images: not of the same folds")
    figures_of = [mean_auc(point, weights_of) for point in (first, second)]
    equal = np.ones((1, len(one.images)))
    value = float((figures_of[1](equal) - figures_of[0](equal))[0])
    over = Resampling(one.patients).over(lambda weights: figures_of[1](weights) - figures_of[0](weights))
    aucs = [spread(point, weights_of).each for point in (first, second)]
    replicates = t_test(*aucs) if min(len(group) for group in aucs) > 1 else float("nan")
    return Difference(value, percentile_interval(over), two_sided_p(over), replicates)


def table(points: Sequence[CurvePoint], appearance: AppearanceScores | None) -> list[dict[str, object]]:
    """Return a row for each point: recipes in their order at each number of images, the first is the reference."""
    order = list(dict.fromkeys(point.recipe for point in points))
    ordered = sorted(points, key=lambda point: (point.images or np.inf, order.index(point.recipe)))
    references = {point.images: point for point in ordered if point.recipe == order[0]}
    return [_row(point, references.get(point.images), appearance) for point in ordered]


def _row(point: CurvePoint, reference: CurvePoint | None, appearance: AppearanceScores | None) -> dict[str, object]:
    sensitivity, specificity = point.at_half
    row: dict[str, object] = {"training images": point.images or "all", "recipe": point.recipe}
    row |= {"networks": len(point.networks)}
    weightings: dict[str, Weighting] = {"AUC": equal_weights}
    if appearance:
        weightings["AUC, equal appearance"] = overlap_weights(appearance)
    for name, weights_of in weightings.items():
        own = spread(point, weights_of)
        row[name] = f"{own.mean:.4f}" + (f" ± {own.sd:.4f}" if len(own.each) > 1 else "")
        if reference not in (None, point):
            row[f"{name}: difference"] = _text(difference(reference, point, weights_of))
    return row | {"sensitivity at 0.5": f"{sensitivity:.3f}", "specificity at 0.5": f"{specificity:.3f}"}


def _text(difference: Difference) -> str:
    low, high = difference.ci95
    by_patient = f"{difference.value:+.4f} ({low:+.4f} to {high:+.4f})"
    return (
        by_patient if np.isnan(difference.p_replicates) else f"{by_patient}, t-test p = {difference.p_replicates:.2g}"
    )
