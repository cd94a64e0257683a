"""Scores of a table judged over all, within view and by view: ranking, calls at a threshold, calibration, and pairs.

Another table of scores of the same images can stand against it: the difference of AUC with its patients' interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.runs.scores import sigmoid
from training.studies.confusion import Proportion
from training.studies.p_values import two_sided_p
from training.studies.tables import markdown_table, with_bounds
from triage.statistics.calibration import platt_targets
from triage.statistics.intervals import (
    Bounds,
    Resampling,
    percentile_interval,
    weighted_auc,
    weighted_auc_within,
)

Doubles = npt.NDArray[np.float64]
Figure = Callable[[Doubles], Doubles]
"""From weights (b, n) to a figure (b,)."""
ALL, WITHIN = "all", "within view"
STEPS = 25
"""Newton steps of a fit; two parameters settle in fewer than ten."""


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """Images with the logit of each score, one entry each; ``folds`` is -1 where the manifest has none."""

    names: tuple[str, ...]
    patients: tuple[str, ...]
    views: tuple[str, ...]
    folds: tuple[int, ...]
    labels: Doubles
    logits: Doubles

    def where(self, chosen: npt.NDArray[np.bool_]) -> ScoredImages:
        """Return the images that are chosen."""
        places = np.flatnonzero(chosen).tolist()
        texts = [tuple(each[place] for place in places) for each in (self.names, self.patients, self.views)]
        folds = tuple(self.folds[place] for place in places)
        return ScoredImages(texts[0], texts[1], texts[2], folds, self.labels[chosen], self.logits[chosen])


@dataclass(frozen=True)
class Judgement:
    """Figures of one group of images. ``within`` has the AUC alone.

    ``slope`` is that of a logistic fit of the label to the logit, ``ratio`` observed positives over expected ones; 1 is
    right of both.
    """

    group: str
    images: int
    positives: int
    auc: float
    auc_ci95: Bounds
    sensitivity: Proportion | None = None
    specificity: Proportion | None = None
    slope: tuple[float, Bounds] | None = None
    ratio: tuple[float, Bounds] | None = None


@dataclass(frozen=True)
class PairedDifference:
    """AUC of both on the same images, and the first less the second."""

    group: str
    images: int
    first: float
    second: float
    difference: float
    ci95: Bounds
    p_value: float


def judged(scored: ScoredImages, threshold: float = 0.5, *, by_fold: bool = False) -> list[Judgement]:
    """Return the figures over all images, within view, of each view that has both classes, and of each fold."""
    found = []
    for group, part in {**_groups(scored), **(_folds(scored) if by_fold else {})}.items():
        auc_of = _auc(group, part)
        found.append(_judgement(group, part, auc_of(_once(part))[0], Resampling(part.patients), threshold))
    return found


def compared(first: ScoredImages, second: ScoredImages) -> list[PairedDifference]:
    """Compare on the images that both scored. Raises TrainingError where there are none."""
    places = {name: place for place, name in enumerate(second.names)}
    one = first.where(np.array([name in places for name in first.names]))
    if not one.names:
        raise TrainingError("the two tables have no image in common")
    other = replace(one, logits=second.logits[[places[name] for name in one.names]])
    groups = zip(_groups(one).items(), _groups(other).values(), strict=True)
    return [_paired(group, part, against) for (group, part), against in groups]


def recalibrated_on_other_folds(scored: ScoredImages) -> ScoredImages:
    """Return the logits after Platt scaling that was fitted on the other folds. Raises TrainingError without folds."""
    folds = np.array(scored.folds)
    if len(set(scored.folds)) < 2 or (folds < 0).any():
        raise TrainingError("scores are calibrated on other folds, and the manifest has none (prepare … --folds 3)")
    logits = np.empty_like(scored.logits)
    for fold in np.unique(folds):
        others = scored.where(folds != fold)
        slope, intercept = fitted(others.logits, platt_targets(others.labels), _once(others))[0]
        logits[folds == fold] = slope * scored.logits[folds == fold] + intercept
    return replace(scored, logits=logits)


def fitted(logits: Doubles, targets: Doubles, weights: Doubles) -> Doubles:
    """Return slope and intercept (b, 2) of a logistic fit for each row of weights (b, n), by Newton's method.

    A row whose classes are wholly apart has no finite fit, and what comes back for it is NaN.
    """
    middle, spread = float(logits.mean()), float(logits.std()) or 1.0
    inputs = np.stack([(logits - middle) / spread, np.ones_like(logits)], axis=1)
    found = np.zeros((len(weights), 2))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for _ in range(STEPS):
            expected = sigmoid(found @ inputs.T)
            gradient = (weights * (targets - expected)) @ inputs
            curvature = np.einsum("bn,ni,nj->bij", weights * expected * (1 - expected), inputs, inputs)
            found = found + _solved(curvature, gradient)
    return np.stack([found[:, 0] / spread, found[:, 1] - found[:, 0] * middle / spread], axis=1)


def _solved(curvature: Doubles, gradient: Doubles) -> Doubles:
    determinant = curvature[:, 0, 0] * curvature[:, 1, 1] - curvature[:, 0, 1] ** 2
    first = (curvature[:, 1, 1] * gradient[:, 0] - curvature[:, 0, 1] * gradient[:, 1]) / determinant
    second = (curvature[:, 0, 0] * gradient[:, 1] - curvature[:, 0, 1] * gradient[:, 0]) / determinant
    return np.stack([first, second], axis=1)


def _groups(scored: ScoredImages) -> dict[str, ScoredImages]:
    views = np.array(scored.views)
    parts = {view: scored.where(views == view) for view in sorted(set(scored.views))}
    both = {view: part for view, part in parts.items() if len(set(part.labels.tolist())) > 1}
    return {ALL: scored, **({WITHIN: scored, **both} if len(parts) > 1 else {})}


def _folds(scored: ScoredImages) -> dict[str, ScoredImages]:
    folds = np.array(scored.folds)
    return {f"fold {fold}": scored.where(folds == fold) for fold in sorted(set(scored.folds))}


def _once(scored: ScoredImages) -> Doubles:
    return np.ones((1, len(scored.labels)))


def _auc(group: str, part: ScoredImages) -> Figure:
    if group == WITHIN:
        return weighted_auc_within(part.labels, part.logits, part.views)
    return weighted_auc(part.labels, part.logits)


def _judgement(group: str, part: ScoredImages, value: float, resampling: Resampling, threshold: float) -> Judgement:
    positive, called = part.labels > 0.5, part.logits >= np.log(threshold / (1 - threshold))
    ranked = Judgement(
        group=group,
        images=len(positive),
        positives=int(positive.sum()),
        auc=float(value),
        auc_ci95=percentile_interval(resampling.over(_auc(group, part))),
    )
    if group == WITHIN:
        return ranked
    return replace(
        ranked,
        sensitivity=Proportion(int((called & positive).sum()), int(positive.sum())),
        specificity=Proportion(int((~called & ~positive).sum()), int((~positive).sum())),
        slope=_with_bounds(part, resampling, lambda weights: fitted(part.logits, part.labels, weights)[:, 0]),
        ratio=_with_bounds(part, resampling, _observed_over_expected(part)),
    )


def _with_bounds(part: ScoredImages, resampling: Resampling, figure: Figure) -> tuple[float, Bounds]:
    return float(figure(_once(part))[0]), percentile_interval(resampling.over(figure))


def _observed_over_expected(part: ScoredImages) -> Figure:
    expected = sigmoid(part.logits)
    return lambda weights: (weights @ part.labels) / (weights @ expected)


def _paired(group: str, one: ScoredImages, other: ScoredImages) -> PairedDifference:
    figures = (_auc(group, one), _auc(group, other))
    rounds = Resampling(one.patients).over(lambda weights: figures[0](weights) - figures[1](weights))
    first, second = (float(figure(_once(one))[0]) for figure in figures)
    return PairedDifference(
        group, len(one.names), first, second, first - second, percentile_interval(rounds), two_sided_p(rounds)
    )


def markdown(found: Sequence[Judgement]) -> str:
    """Return the figures as a table in Markdown."""
    head = ["images", "n", "positive", "AUC", "sensitivity", "specificity", "calibration slope", "observed/expected"]
    return markdown_table(head, [_cells(one) for one in found])


def _cells(one: Judgement) -> list[str]:
    counts = [one.group, str(one.images), str(one.positives), with_bounds(one.auc, one.auc_ci95)]
    calls = [str(each) if each else "" for each in (one.sensitivity, one.specificity)]
    return [*counts, *calls, *(with_bounds(*each) if each else "" for each in (one.slope, one.ratio))]


def differences_markdown(found: Sequence[PairedDifference]) -> str:
    """Return the differences as a table in Markdown."""
    head = ["images", "n", "AUC", "the other's", "difference", "p"]
    return markdown_table(head, [_difference_cells(one) for one in found])


def _difference_cells(one: PairedDifference) -> list[str]:
    cells = [one.group, str(one.images), f"{one.first:.3f}", f"{one.second:.3f}"]
    return [*cells, with_bounds(one.difference, one.ci95, "+"), f"{one.p_value:.3f}"]


def logits_of(probabilities: Mapping[str, str], names: Sequence[str]) -> Doubles:
    """Return the logits of these images' probabilities, finite also at 0 and 1."""
    inside = np.clip([float(probabilities[name]) for name in names], 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))
