"""A model card as a Markdown page, in the order of CLAIM (2024) and TRIPOD+AI (2024); unknown items are marked so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import cast

from jinja2 import Environment, StrictUndefined

from triage.model.card import ModelCard
from triage.model.card_finding import Interval
from triage.validation.measures.figures import main_bounds
from triage.validation.measures.metrics_record import FigureRecord, GroupRecord
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.run import SCHEMA
from triage.validation.scores.predictions import PredictionsError

UNKNOWN = "**not known**"


def read_metrics(file: Path) -> MetricsRecord:
    """Read a metrics.json of ``triage validate``; one of schema 1 has nothing by finding. Raises PredictionsError."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["metrics_schema"] == 1:
            return cast("MetricsRecord", {**_NOTHING_BY_FINDING, **record})
        if record["metrics_schema"] == SCHEMA:
            return cast("MetricsRecord", dict(record))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionsError(f"{file} is no metrics.json: {error}") from error
    raise PredictionsError(f"{file} has metrics_schema {record['metrics_schema']}; this version reads 1 and {SCHEMA}")


_NOTHING_BY_FINDING: dict[str, object] = {
    "findings": [],
    "macro_average": None,
    "combined": None,
    "findings_without_labels": [],
    "labels_without_finding": [],
    "site_points": [],
}


def card_page(card: ModelCard, validations: Sequence[MetricsRecord] = ()) -> str:
    """Return the page of a card and of validations of this very model file.

    Raises PredictionsError for a validation of another model file.
    """
    for metrics in validations:
        if metrics["model"]["sha256"] != card.model_sha256:
            raise PredictionsError(f"a metrics.json is of {metrics['model']['name']} {metrics['model']['version']}")
    template = (files("triage.validation.report") / "model_card.md.j2").read_text(encoding="utf-8")
    # No HTML: nothing is escaped.
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"measured": _measured, "stated": _stated, "short": _short}
    return environment.from_string(template).render(
        card=card,
        use=card.intended_use,
        validations=validations,
        groups=list(_groups(validations)),
        by_finding=[each for each in validations if each["macro_average"]],
        methods=sorted(
            {figure.method for found in card.findings for each in found.performance for figure in each.figures.values()}
        ),
        unknown=UNKNOWN,
    )


def _groups(validations: Sequence[MetricsRecord]) -> Iterator[tuple[MetricsRecord, str, GroupRecord]]:
    """Yield the groups by sex, age and view, with their validation and column."""
    for metrics in validations:
        for column in ("sex", "age", "view"):
            for group in metrics["subgroups"].get(column, ()):
                yield metrics, column, group


def _measured(figure: FigureRecord) -> str:
    """Format a measured figure with its interval."""
    if figure["value"] is None:
        return "–"
    bounds = main_bounds(figure)
    return f"{figure['value']:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def _stated(figure: Interval | None) -> str:
    """Format a figure that the card states with its interval."""
    return "–" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _short(value: float) -> str:
    return f"{value:g}"
