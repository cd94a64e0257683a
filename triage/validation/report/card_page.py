"""A model card as a page, in the order in which CLAIM (2024) and TRIPOD+AI (2024) ask; what is not known is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from triage.model.card import Interval, ModelCard
from triage.validation.measures.figures import main_bounds
from triage.validation.scores.predictions import PredictionsError

UNKNOWN = "**not known**"


def read_metrics(file: Path) -> dict[str, Any]:
    """A metrics.json of ``triage validate``. Raises PredictionsError."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["metrics_schema"] == 1:
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionsError(f"{file} is no metrics.json: {error}") from error
    raise PredictionsError(f"{file} has metrics_schema {record['metrics_schema']}; this version reads 1")


def card_page(card: ModelCard, validations: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page. ``validations`` are records of metrics.json of this very model file; PredictionsError for another's."""
    for metrics in validations:
        if metrics["model"]["sha256"] != card.model_sha256:
            raise PredictionsError(f"a metrics.json is of {metrics['model']['name']} {metrics['model']['version']}")
    lines = [f"# Model card: {card.name} {card.version}", "", *_preface(card)]
    for title, text in _sections(card, validations):
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _preface(card: ModelCard) -> Iterator[str]:
    yield "Made from the model's `card.json` by `triage card`. The headings are what CLAIM (2024 update) and TRIPOD+AI"
    yield "(2024) ask to be reported; what nobody knows stands here as not known. Research use; not a medical device."
    if card.demo:
        yield ""
        yield "**A demonstration:** the service refuses this model outside demonstrations."


def _sections(card: ModelCard, validations: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    use, target, training = card.intended_use, card.target, card.training
    below = f"to below {use.age_below:g}" if use.age_below is not None else "and over"
    yield (
        "Identification",
        [
            f"- Model: {card.name}, version {card.version}, SHA-256 of the file `{card.model_sha256}`",
            f"- Task: two classes, {target.finding}; from one frontal chest radiograph a probability between 0 and 1",
            "- Kind of study: development with retrospective public data, and validation on held-out parts of them",
        ],
    )
    yield (
        "Intended use and clinical role",
        [
            f"- Modalities {', '.join(use.modalities)}; views {', '.join(use.views)}",
            f"- Ages {use.age_from:g} {below} years",
            f"- Stations: {', '.join(use.stations) or 'any'}",
            "- Role: order of reading. A tag never replaces reading, and no image is left unread for it",
            f"- Users: radiologists and those who run the worklist. Who benefits, and by how much: {UNKNOWN}",
        ],
    )
    yield (
        "Sources of data",
        [
            *(f"- {each}" for each in training.data),
            f"- Dates of acquisition, sampling of patients, settings of care: {UNKNOWN} here; see the data sets",
            f"- Manufacturers and detectors: {UNKNOWN}",
        ],
    )
    yield (
        "Participants",
        [
            f"- {training.images} images trained it",
            f"- Ethnicity, socio-economic position, comorbidities, treatments: {UNKNOWN}",
            _patients(card),
        ],
    )
    yield (
        "Preparation of the images",
        [
            *(f"- {name.replace('_', ' ')}: {value}" for name, value in card.preprocessing.model_dump().items()),
            "- One function for training, export, validation and service: `triage/radiograph/preprocess.py`",
        ],
    )
    yield (
        "Reference standard",
        [
            f"- Positive: {target.positive_class}",
            f"- Negative: {target.negative_class}",
            f"- A negative {'means' if target.negative_is_normal else 'does **not** mean'} a normal radiograph",
            *(f"- {each.cohort}: {each.reference}" for each in card.performance),
            f"- Variability of those who labelled: {UNKNOWN} for this model's data",
        ],
    )
    yield (
        "Partition",
        [
            *(f"- {each.cohort}: {each.held_out_how}" for each in card.performance),
            *([] if card.performance else [f"- {UNKNOWN}"]),
        ],
    )
    yield (
        "Sample size",
        [
            "- All public images at hand were used; no calculation came before. What a cohort can certify is in every "
            "validation report"
        ],
    )
    yield (
        "Missing data",
        [
            "- An image that cannot be decoded, or of unknown view or age, is NOT ASSESSED; nothing is imputed",
            f"- Missing labels and attributes in the sources: {UNKNOWN}",
        ],
    )
    yield (
        "Model",
        [
            f"- Architecture: {card.architecture}",
            f"- Recipe: `{training.recipe}`",
            "- Output: probability and a distance from the training images; software and versions: `requirements/`",
        ],
    )
    yield "Operating points", _points(card)
    yield "Calibration", [f"- {card.calibration}", *_calibrations(validations)]
    yield (
        "Beyond the training images",
        [
            f"- Refused beyond a distance of {card.distribution.limit:g}: {card.distribution.measure}",
            f"- How the limit was chosen: {card.distribution.chosen}",
            *(f"- Refused of {name}: {_interval(each)}" for name, each in card.distribution.refusals.items()),
        ],
    )
    yield "Performance", _performance(card)
    yield "Performance, as validated", _validated(validations)
    yield "Fairness", [*_groups(validations), f"- By ethnicity or socio-economic position: {UNKNOWN}"]
    yield "Failure analysis", _failures(validations)
    yield "Limits", [f"- {each}" for each in card.limits]
    yield (
        "Openness",
        [
            "- Code and recipes are in this repository (Apache-2.0); the data sets keep their owners' terms",
            f"- Weights: {_licence(card)}",
            "- Protocol and registration: none. Patients and public were not involved",
            f"- Use in practice, prospective evidence, effect on patients: {UNKNOWN}",
        ],
    )


def _patients(card: ModelCard) -> str:
    if card.training.patients_file:
        images = f", the SHA-256 of each image in `{card.training.images_file}`" if card.training.images_file else ""
        return f"- Their public identifiers are in `{card.training.patients_file}` beside the model{images}"
    return f"- Who they are: {UNKNOWN}"


def _licence(card: ModelCard) -> str:
    if card.licence is None:
        return f"under what they may be used is {UNKNOWN}"
    return f"{card.licence.weights}, because {card.licence.because}"


def _points(card: ModelCard) -> list[str]:
    if not card.operating_points:
        return [f"- {UNKNOWN}"]
    rows = ["| name | threshold | chosen | sensitivity | specificity |", "|---|---|---|---|---|"]
    for point in card.operating_points:
        figures = (_interval(point.sensitivity), _interval(point.specificity))
        rows.append(f"| {point.name} | {point.threshold:g} | {point.chosen} | {figures[0]} | {figures[1]} |")
    return rows


def _performance(card: ModelCard) -> list[str]:
    if not card.performance:
        return [f"- {UNKNOWN}"]
    rows = ["| cohort | held out | figure | value (95 %) | n |", "|---|---|---|---|---|"]
    for each in card.performance:
        for name, figure in each.figures.items():
            rows.append(f"| {each.cohort} | {each.held_out_how} | {name} | {_interval(figure)} | {figure.n} |")
    methods = sorted({figure.method for each in card.performance for figure in each.figures.values()})
    return [*rows, "", *(f"- {method}" for method in methods)]


def _validated(validations: Sequence[Mapping[str, Any]]) -> list[str]:
    if not validations:
        return ["- No report of `triage validate` was given for this page"]
    rows = [
        "| cohort | images | coverage | AUC, worst case | at | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|",
    ]
    for metrics in validations:
        image = metrics["image"]
        for point in image["points"]:
            figures = point["worst_case"]["figures"]
            cells = (image["coverage"], image["auc"]["worst_case"])
            before = " | ".join(_measured(each) for each in cells)
            after = " | ".join(_measured(figures[name]) for name in ("sensitivity", "specificity"))
            rows.append(f"| {_cohort(metrics)} | {image['n']} | {before} | {point['threshold']:g} | {after} |")
    return [
        *rows,
        "",
        "Unassessed images count as wrong. Interval: patient-clustered bootstrap, 95 %; exact where nothing varies.",
    ]


def _groups(validations: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for metrics in validations:
        for column in ("sex", "age", "view"):
            for group in metrics["subgroups"].get(column, ()):
                figures = group["worst_case"]
                cells = " | ".join(_measured(figures[name]) for name in ("auc", "sensitivity", "specificity"))
                rows.append(f"| {_cohort(metrics)} | {column} {group['group']} | {group['n']} | {cells} |")
    if not rows:
        return [f"- By sex, age and view: {UNKNOWN}"]
    head = ["| cohort | group | images | AUC | sensitivity | specificity |", "|---|---|---|---|---|---|"]
    return [*head, *rows, ""]


def _failures(validations: Sequence[Mapping[str, Any]]) -> list[str]:
    if not validations:
        return [f"- {UNKNOWN}: no validation was given for this page"]
    lines = []
    for metrics in validations:
        point = metrics["image"]["points"][0]
        table = point["assessed"]["confusion"]
        missed = f"{table['fn']} of {table['fn'] + table['tp']} positives missed"
        raised = f"{table['fp']} of {table['fp'] + table['tn']} negatives raised"
        lines.append(f"- {_cohort(metrics)}, at {point['threshold']:g}: {missed}, {raised}, among the assessed")
        lines += [f"  - not assessed, {each['reason']}: {each['n']}" for each in metrics["not_assessed"]]
        lines += [f"  - {each}" for each in metrics["warnings"]]
    return [*lines, f"- Why single images were missed (reading them with a radiologist): {UNKNOWN}"]


def _calibrations(validations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for metrics in validations:
        found = metrics["calibration"]["assessed"]
        yield f"- {_cohort(metrics)}: Brier {_measured(found['brier'])}, ECE {_measured(found['ece'])}"


def _cohort(metrics: Mapping[str, Any]) -> str:
    cohort = metrics["cohort"]
    return f"{cohort['manifest']}{' ' + cohort['split'] if cohort['split'] else ''}"


def _measured(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    bounds = main_bounds(figure)
    return f"{figure['value']:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def _interval(figure: Interval | None) -> str:
    return "–" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
