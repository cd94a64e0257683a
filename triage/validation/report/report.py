"""report.html: one self-contained page for reading and printing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from triage.model.card import ModelCard
from triage.validation.measures.figures import defined_intervals, main_bounds
from triage.validation.measures.metrics_record import FigureRecord, ValueRecord
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.report import plots
from triage.validation.report.gallery import Group, gallery
from triage.validation.scores.activation_maps import ActivationMaps

if TYPE_CHECKING:
    from triage.validation.run import ValidationRun

FIGURES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV, as in this cohort",
    "npv": "NPV, as in this cohort",
    "ppv_at_prevalence": "PPV at your prevalence",
    "npv_at_prevalence": "NPV at your prevalence",
    "accuracy": "Accuracy",
    "f1": "F1",
}
REASONS = {
    "not_frontal": "not a frontal view",
    "undecodable": "could not be decoded",
    "out_of_distribution": "looks like nothing the model was trained on",
    "view_unverified": "the view is not known",
    "body_part_unverified": "negative, and nothing says that it is a chest",
    "orientation_unverified": "does not look upright",
    "wide_border": "too much of it is border",
    "age_not_covered": "the model is not for this age",
    "worker_failure": "decoding it failed",
    "no_model": "no score was given",
}


def write_report(run: ValidationRun, metrics: MetricsRecord, path: Path, maps: ActivationMaps) -> None:
    """Write the page; with ``run.request.images`` also radiographs, and maps where the graph has them."""
    shown = gallery(run.scored, run.cohort.members, run.points[0].threshold, maps) if run.request.images else []
    path.write_text(render(metrics, run.card, shown), encoding="utf-8")


def render(metrics: MetricsRecord, card: ModelCard, shown: Sequence[Group] = ()) -> str:
    """Return the page for the record of metrics.json, the card, and a gallery."""
    template = (files("triage.validation.report") / "report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "decimal": decimal, "interval": interval}
    environment.filters |= {"of_100": of_100, "p_value": p_value}
    drawn = {
        "roc": plots.roc(metrics),
        "histogram": plots.histogram(metrics),
        "reliability": plots.reliability(metrics),
        "decision": plots.decision(metrics),
        "forest": plots.forest(metrics),
        "models": plots.models(metrics),
        "designs": plots.designs(metrics),
        "readers": plots.readers(metrics),
        "confusion": [plots.confusion(each["worst_case"]["confusion"]) for each in metrics["image"]["points"]],
    }
    return environment.from_string(template).render(
        m=metrics, card=card, gallery=shown, plots=drawn, figure_names=FIGURES, reasons=REASONS
    )


def percent(value: float | None, digits: int = 1) -> str:
    """Format 0.931 as 93.1 %."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Format 0.9312 as 0.931."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(figure: ValueRecord, method: str = "bootstrap", digits: int = 3) -> str:
    """Format the interval of a method in brackets, empty without one; for the bootstrap also its substitute."""
    bounds = main_bounds(figure) if method == "bootstrap" else defined_intervals(figure).get(method)
    if bounds is None:
        return ""
    return f"({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"


def p_value(value: float | None) -> str:
    """Format a p value with its sign, never as 0."""
    if value is None:
        return "p –"
    return f"p = {value:.4f}" if value >= 0.0001 else "p < 0.0001"


def of_100(figure: FigureRecord, *, otherwise: bool = False) -> str:
    """Format a share as a number of 100 with its widest interval; with ``otherwise`` that of its complement."""
    if figure["value"] is None:
        return "an unknown number"
    bounds = defined_intervals(figure).values()
    low, high = min(each[0] for each in bounds), max(each[1] for each in bounds)
    values = [1 - figure["value"], 1 - high, 1 - low] if otherwise else [figure["value"], low, high]
    return "{:.0f} ({:.0f} to {:.0f})".format(*(100 * value for value in values))
