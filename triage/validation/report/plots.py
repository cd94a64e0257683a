"""The plots of the report, each as an SVG image in a data URI; empty where there is nothing to draw."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triage.statistics.intervals import Bounds
from triage.validation.measures.figures import main_bounds
from triage.validation.measures.metrics_record import ConfusionRecord, FigureRecord, RocPoint, ValueRecord
from triage.validation.measures.whole_record import MetricsRecord

matplotlib.use("Agg")

POSITIVE, NEGATIVE, LINE, GREY = "#c8553d", "#3d7ea6", "#1b3a4b", "#8a8f94"
_OTHERS = (NEGATIVE, "#7a9e3f", "#8d5a97", "#b98a2f", "#4c8c8a", "#a34a6b")
_STYLE: Any = {  # rc_context has a type of its own for the keys
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "legend.frameon": False,
    "svg.hashsalt": "cxr-triage",
}


def roc(metrics: MetricsRecord) -> str:
    """Draw the ROC with the operating points, readers as crosses (the paper's Fig. 1)."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        name = _with_auc(metrics["model"]["name"], metrics["image"]["auc"]["assessed"])
        axes.plot(*_rates(metrics["roc"]), color=LINE, linewidth=1.6, label=name)
        others = [each for each in metrics["versus"] if each.get("roc")]
        for other, style, colour in zip(others, cycle(("--", "-.", (0, (1, 1)))), cycle(_OTHERS), strict=False):
            name = _with_auc(other["name"], other["auc_alone"])
            axes.plot(*_rates(other["roc"]), color=colour, linewidth=1.1, linestyle=style, label=name)
        for point, mark in zip(metrics["image"]["points"], "osD^v", strict=False):
            figures = point["assessed"]["figures"]
            x, y = figures["specificity"]["value"], figures["sensitivity"]["value"]
            if x is not None and y is not None:
                label = f"at {point['name']} ({point['threshold']:g})"
                axes.plot(1 - x, y, mark, color=POSITIVE, markersize=6, label=label, clip_on=False)
        for reader, mark in zip(metrics["readers"], cycle("x+1234"), strict=False):
            x, y = reader["specificity"]["value"], reader["sensitivity"]["value"]
            if x is not None and y is not None:
                axes.plot(1 - x, y, mark, color=NEGATIVE, markersize=7, label=reader["name"], clip_on=False)
        _labelled(axes, "1 - specificity", "sensitivity", square=True)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), fontsize=8)

    entries = 1 + len(metrics["versus"]) + len(metrics["image"]["points"]) + len(metrics["readers"])
    return _svg(draw, 4.2, 4.2 + 0.17 * entries) if metrics["roc"] else ""


def _with_auc(name: str, figure: FigureRecord) -> str:
    bounds = main_bounds(figure)
    return f"{name}: AUC {figure['value']:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def designs(metrics: MetricsRecord) -> str:
    """Draw the AUC by architecture and image size (the paper's Fig. 2a, with intervals instead of deviations)."""
    known = _designs(metrics)
    architectures = sorted({each.architecture for each in known})
    sizes = sorted({each.size for each in known})

    def draw(axes: Axes) -> None:
        for number, (size, colour) in enumerate(zip(sizes, cycle((LINE, *_OTHERS)), strict=False)):
            shift = (number - (len(sizes) - 1) / 2) * 0.5 / len(sizes)
            for each in (one for one in known if one.size == size):
                low, high = each.bounds
                axes.errorbar(
                    architectures.index(each.architecture) + shift,
                    each.auc,
                    [[each.auc - low], [high - each.auc]],
                    fmt="o",
                    color=colour,
                    capsize=3,
                    label=f"{size} px" if f"{size} px" not in axes.get_legend_handles_labels()[1] else None,
                )
        axes.set_xticks(range(len(architectures)), architectures)
        axes.set_xlim(-0.6, len(architectures) - 0.4)
        axes.set_ylabel("AUC")
        axes.legend(title="image size", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)

    return _svg(draw, min(3.2 + 1.1 * len(architectures), 7.5), 3.0) if len(known) > 1 else ""


@dataclass(frozen=True)
class _DesignAUC:
    architecture: str
    size: int
    auc: float
    bounds: Bounds


def _designs(metrics: MetricsRecord) -> list[_DesignAUC]:
    """Return the AUC of every model whose architecture and input size are known."""
    model = metrics["model"]
    found = [(model["architecture"], model["size"], metrics["image"]["auc"]["assessed"])]
    found += [
        (each.get("architecture"), each.get("size"), each["auc_alone"])
        for each in metrics["versus"]
        if "auc_alone" in each
    ]
    return [
        _DesignAUC(architecture, size, value, main_bounds(figure) or (value, value))
        for architecture, size, figure in found
        if architecture and size and (value := figure["value"]) is not None
    ]


def readers(metrics: MetricsRecord) -> str:
    """Draw true and false positive rates of the readers and of the model at its points (the paper's Fig. 2b)."""
    rows = [
        (f"{metrics['model']['name']} at {each['name']}", each["assessed"]["figures"])
        for each in metrics["image"]["points"]
    ]
    rows += [
        (each["name"], {"sensitivity": each["sensitivity"], "specificity": each["specificity"]})
        for each in metrics["readers"]
    ]

    def draw(axes: Axes) -> None:
        for position, (_, figures) in enumerate(reversed(rows)):
            for name, colour, turned in (("sensitivity", LINE, False), ("specificity", POSITIVE, True)):
                value, bounds = figures[name]["value"], main_bounds(figures[name])
                if value is None or bounds is None:
                    continue
                low, high = (1 - bounds[1], 1 - bounds[0]) if turned else bounds
                height = position + (-0.12 if turned else 0.12)
                axes.plot([low, high], [height, height], color=colour, linewidth=1.4)
                axes.plot(1 - value if turned else value, height, "o", color=colour, markersize=4)
        axes.plot([], [], "o-", color=LINE, markersize=4, label="true positive rate (sensitivity)")
        axes.plot([], [], "o-", color=POSITIVE, markersize=4, label="false positive rate (1 - specificity)")
        axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        axes.set_xlim(-0.01, 1.01)
        axes.set_xlabel("share of the images of the class")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.3 / (0.3 + 0.12 * len(rows))), fontsize=8)

    return _svg(draw, 6.4, 1.5 + 0.3 * len(rows)) if metrics["readers"] else ""


def _rates(curve: Sequence[RocPoint]) -> tuple[list[float], list[float]]:
    return [each["false_positive_rate"] for each in curve], [each["true_positive_rate"] for each in curve]


def histogram(metrics: MetricsRecord) -> str:
    """Draw the scores of the two classes."""

    def draw(axes: Axes) -> None:
        edges = metrics["histogram"]["edges"]
        middle = [(low + high) / 2 for low, high in pairwise(edges)]
        width = (edges[1] - edges[0]) * 0.42
        negatives, positives = metrics["histogram"]["negatives"], metrics["histogram"]["positives"]
        axes.bar([x - 0.5 * width for x in middle], negatives, width, color=NEGATIVE, label="negatives")
        axes.bar([x + 0.5 * width for x in middle], positives, width, color=POSITIVE, label="positives")
        for point in metrics["image"]["points"]:
            axes.axvline(point["threshold"], color=LINE, linewidth=0.8, linestyle="--")
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability (dashed: operating points)")
        axes.set_ylabel("images")
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return _svg(draw, 4.4, 3.0)


def reliability(metrics: MetricsRecord) -> str:
    """Draw the observed share of positives by predicted probability."""

    def draw(axes: Axes) -> None:
        bins = metrics["calibration"]["bins"]
        predicted, observed = [each["mean_probability"] for each in bins], [each["observed"] for each in bins]
        below = [each["observed"] - each["bounds"][0] for each in bins]
        above = [each["bounds"][1] - each["observed"] for each in bins]
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axes.errorbar(predicted, observed, [below, above], fmt="o", color=LINE, markersize=4, linewidth=1)
        _labelled(axes, "predicted probability", "share that is positive", square=True)

    return _svg(draw, 3.2, 3.2) if metrics["calibration"]["bins"] else ""


def decision(metrics: MetricsRecord) -> str:
    """Draw the net benefit by threshold, with that of raising all and of raising none."""

    def draw(axes: Axes) -> None:
        curve = metrics["decision_curve"]
        thresholds = [each["threshold"] for each in curve]
        top = max(max(each["model"] for each in curve), metrics["image"]["prevalence"] or 0.0)
        axes.plot(thresholds, [each["model"] for each in curve], color=LINE, linewidth=1.6, label="model")
        axes.plot(thresholds, [each["raise_all"] for each in curve], color=POSITIVE, linewidth=1, label="raise all")
        axes.axhline(0, color=GREY, linewidth=1, label="raise none")
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.25 * top, 1.1 * top)
        axes.set_xlabel("threshold probability")
        axes.set_ylabel("net benefit per image")
        axes.legend(fontsize=8)

    return _svg(draw, 4.0, 3.2) if metrics["decision_curve"] else ""


def forest(metrics: MetricsRecord) -> str:
    """Draw the AUC of every group with its interval (assessed only)."""
    rows = [
        (f"{column}: {group['group']} (n = {group['n']})", group["assessed"]["auc"])
        for column, groups in metrics["subgroups"].items()
        for group in groups
        if group["assessed"]["auc"]["value"] is not None
    ]
    whole = metrics["image"]["auc"]["assessed"]
    if whole["value"] is None or not rows:
        return ""
    return _intervals([("all", whole), *rows], "AUC, images assessed")


def models(metrics: MetricsRecord) -> str:
    """Draw the differences of AUC between this model and the others."""
    rows: list[tuple[str, ValueRecord]] = [
        (each["name"], {"value": each["auc"]["difference"], "intervals": each["auc"]["intervals"]})
        for each in metrics["versus"]
        if "auc" in each
    ]
    return _intervals(rows, "difference of AUC: this model minus the other", zero=True) if rows else ""


def confusion(table: ConfusionRecord) -> str:
    """Draw a confusion matrix (the paper's Fig. 3a)."""

    def draw(axes: Axes) -> None:
        cells = np.array([[table["tn"], table["fp"]], [table["fn"], table["tp"]]], dtype=float)
        shares = cells / np.maximum(cells.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3)
        for (row, column), count in np.ndenumerate(cells):
            text = f"{int(count)}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if shares[row, column] > 0.6 else LINE)
        axes.set_xticks([0, 1], ["not raised", "raised"])
        axes.set_yticks([0, 1], ["negative", "positive"])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return _svg(draw, 2.6, 2.3)


def _intervals(rows: Sequence[tuple[str, ValueRecord]], label: str, *, zero: bool = False) -> str:
    def draw(axes: Axes) -> None:
        for position, (_, figure) in enumerate(reversed(rows)):
            if bounds := main_bounds(figure):
                axes.plot(bounds, [position, position], color=LINE, linewidth=1.4)
            if (value := figure["value"]) is not None:
                axes.plot(value, position, "o", color=POSITIVE, markersize=4)
        axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.axvline(0 if zero else rows[0][1]["value"] or 0, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel(label)

    return _svg(draw, 6.4, 0.6 + 0.22 * len(rows))


def _labelled(axes: Axes, across: str, up: str, *, square: bool) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if square:
        axes.set_aspect("equal")


def _svg(draw: Callable[[Axes], None], width: float, height: float) -> str:
    """Return the drawing as a data URI."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        written = BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + b64encode(written.getvalue()).decode()
