"""Plots of finished runs, for reports; without radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.errors import TrainingError
from training.files import part_of, publish
from training.runs.run import TrainingRun
from training.runs.scores import RunScores, figures
from training.studies.compare import folds_of, predictions_of
from training.studies.learning_curves import (
    AppearanceScores,
    CurvePoint,
    Weighting,
    equal_weights,
    overlap_weights,
    spread,
)
from triage.statistics.intervals import auc, mean_and_sd, patient_bootstrap

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class MeasuredAUC:
    """The AUC of one architecture at one size, with its interval."""

    architecture: str
    size: int
    auc: float
    low: float
    high: float


def roc_points(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return 1 - specificity and sensitivity (k + 1,) at each of the k distinct scores, from (0, 0) to (1, 1)."""
    positive = labels > 0.5
    distinct, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place, positive, minlength=len(distinct))[::-1].cumsum()
    alarms = np.bincount(place, ~positive, minlength=len(distinct))[::-1].cumsum()
    return np.concatenate([[0], alarms / alarms[-1]]), np.concatenate([[0], hits / hits[-1]])


def overlaid_roc(scored: Sequence[tuple[str, RunScores]]) -> Figure:
    """Draw ROC curves of several models (the paper's Fig. 1), with AUC and 95 % interval in the legend."""
    figure, axes = empty_roc()
    for name, one in scored:
        value, low, high = _auc_of(one)
        axes.plot(
            *roc_points(one.labels, one.logits), label=f"{name}: {value:.3f} ({low:.3f}-{high:.3f})", linewidth=1.4
        )
    axes.legend(loc="lower right", title="AUC (95 % by patient)", fontsize="small")
    return figure


def empty_roc() -> tuple[Figure, Axes]:
    """Return a square plot of sensitivity over 1 - specificity, with the diagonal of chance."""
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, linestyle="--")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure, axes


def architectures_by_size(measured: Sequence[MeasuredAUC]) -> Figure:
    """Draw the AUC of each architecture at each image size (the paper's Fig. 2), with intervals."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = sorted({one.architecture for one in measured})
    sizes = sorted({one.size for one in measured})
    for number, size in enumerate(sizes):
        found = [one for one in measured if one.size == size]
        shift = (number - (len(sizes) - 1) / 2) * 0.6 / len(sizes)
        places = [names.index(one.architecture) + shift for one in found]
        reach = [[one.auc - one.low for one in found], [one.high - one.auc for one in found]]
        axes.errorbar(places, [one.auc for one in found], yerr=reach, fmt="o", capsize=3, label=f"{size} px")
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set(ylabel="AUC (95 % by patient)", xlim=(-0.6, len(names) - 0.4))
    axes.legend(loc="lower right", fontsize="small")
    return figure


def learning_curve(points: Sequence[tuple[int, RunScores]]) -> Figure:
    """Draw the AUC over the number of training images: mean over folds, with its standard deviation."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    ordered = sorted(points, key=lambda point: point[0])
    each = [mean_and_sd([figures(fold)["auc"] for fold in folds_of(scored)]) for _, scored in ordered]
    counts = [count for count, _ in ordered]
    axes.errorbar(counts, [mean for mean, _ in each], yerr=[sd for _, sd in each], fmt="o-", capsize=3)
    axes.set_xscale("log")
    axes.set(xlabel="training images of the target domain", ylabel="AUC, mean and SD over folds")
    return figure


def curves(points: Sequence[CurvePoint], appearance: AppearanceScores | None) -> Figure:
    """Draw the AUC of several recipes over the number of training images, also at equal appearance."""
    panels: dict[str, Weighting] = {"AUC": equal_weights}
    if appearance:
        panels["AUC at equal appearance"] = overlap_weights(appearance)
    figure = Figure(figsize=(4.8 * len(panels), 4), layout="constrained")
    for axes, (title, weights_of) in zip(np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for name in dict.fromkeys(point.recipe for point in points):
            own = [point for point in points if point.recipe == name and point.images]
            spreads = [spread(point, weights_of) for point in own]
            reach = np.transpose([(one.mean - one.ci95[0], one.ci95[1] - one.mean) for one in spreads])
            axes.errorbar(
                [point.images for point in own], [one.mean for one in spreads], reach, fmt="o-", capsize=3, label=name
            )
        counts = sorted({point.images for point in points if point.images})
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(title=title, xlabel="training images", ylabel="mean of the networks (95 % by patient)")
        axes.legend(loc="lower right", fontsize="small")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write as PNG, SVG or PDF, by the suffix. Raises TrainingError for any other."""
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise TrainingError(f"{path} has no suffix of a plot: .png, .svg or .pdf")
    temporary = part_of(path)
    FigureCanvasAgg(figure).figure.savefig(temporary, format=kind, dpi=150)
    publish(temporary, path)


def measured_run(folder: Path) -> MeasuredAUC:
    """Read a finished run's architecture, size and AUC."""
    config = TrainingRun.open(folder).config
    return MeasuredAUC(config.model.architecture, config.input.size, *_auc_of(predictions_of(folder)))


def limited_run(folder: Path) -> tuple[int, RunScores]:
    """Read a finished run's number of training images in a fold (the mean, where not limited), and its scores."""
    run, scored = TrainingRun.open(folder), predictions_of(folder)
    folds = max(len(folds_of(scored)), 2)
    return run.config.data.limit or round(run.training_images * (folds - 1) / folds), scored


def _auc_of(scored: RunScores) -> tuple[float, float, float]:
    low, high = patient_bootstrap(
        lambda chosen: auc(scored.labels[chosen], scored.logits[chosen]), scored.patients, rounds=1000
    )
    return auc(scored.labels, scored.logits), low, high
