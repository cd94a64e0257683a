"""Output of the commands of validation, and their way from settings to values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triage.commands.output.choices import POINTS, write_choices
from triage.commands.output.console import progress_bar
from triage.errors import StartError
from triage.listener.address import own_listener
from triage.model.card import load_card
from triage.model.points_file import read_points
from triage.security.audit_trail import operator
from triage.service.models import policy_of
from triage.service.operating_points import points_file
from triage.service.predict import compute_of
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.spool.errors import SpoolError
from triage.spool.open_store import open_store
from triage.spool.validation_partition import open_partition
from triage.validation.measures import paper
from triage.validation.measures.figures import main_bounds
from triage.validation.measures.metrics_record import FigureRecord
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.run import METRICS, REPORT, ChoiceRequest, ValidationRequest
from triage.validation.scores.over_dicom import TargetService
from triage.validation.validate import validate


def run_validation(settings: Settings, options: Mapping[str, Any]) -> bool:
    """Validate with a progress bar, print the results, and return whether it passed. Raises StartError."""
    request, target = _request(options)
    if request.paper is not None and request.paper not in paper.names():
        raise StartError(f"--paper {request.paper}: there are {', '.join(paper.names())}")
    service = _service(settings, request) if request.dicom else None
    compute = compute_of(settings)
    card = load_card(request.model.resolve())
    policy = policy_of(settings, {card.name: card}, every=False)
    request = replace(request, site_points=points_file(settings.models, {card.name: card}, every=False))
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def progress(what: str, more: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.advance(tasks[what], more)

        outcome = validate(request, policy, compute, progress, service)
    _print(outcome.metrics)
    Console().print(f"{request.out / REPORT}  {request.out / METRICS}", highlight=False)
    written = request.choice is None or write_choices(settings, outcome.choices, target)
    return outcome.passed and written


def _request(options: Mapping[str, Any]) -> tuple[ValidationRequest, Path]:
    """Return the request, and the file that chosen points go to. Raises StartError."""
    of_choice = ("choose", "finding", "by", "check_cohort", "points", "reason")
    rest = {name: value for name, value in options.items() if name not in of_choice}
    rule, finding, by, check_cohort, points, reason = (options[name] for name in of_choice)
    target = points or options["out"] / POINTS
    if rule is None:
        if given := [name for name in of_choice if options[name]]:
            raise StartError(f"--{given[0].replace('_', '-')} goes with --choose")
        return ValidationRequest(**rest), target
    choice = ChoiceRequest(rule, finding, tuple(by), check_cohort, reason, operator().name)
    if target.exists():
        read_points(target)  # before an hour of scoring
    return ValidationRequest(**rest, choice=choice), target


def _service(settings: Settings, request: ValidationRequest) -> TargetService:
    """The running service of these settings, with the spool that lies on this machine. Raises StartError."""
    listener = settings.listener
    if not listener.validation_ae_title:
        raise StartError("--dicom needs listener.validation_ae_title in the settings of service and command")
    if request.any_age or request.scores:
        raise StartError("--dicom measures the service as it is: --any-age and --scores do not go with it")
    try:
        namespace = open_partition(open_store(store_address(settings)))
    except (SpoolError, OSError) as error:
        raise StartError(f"--dicom reads the results in the service's spool on this machine: {error}") from error
    return TargetService(own_listener(listener, settings.client_certificate, listener.validation_ae_title), namespace)


def _print(metrics: MetricsRecord) -> None:
    console = Console()
    image, point = metrics["image"], metrics["image"]["points"][0]
    table = Table("per image, worst case", "value", "95 %", title=None)
    coverage = "share with a given score" if metrics["model"]["scores_given_by"] else "coverage"
    figures = {coverage: image["coverage"], "AUC": image["auc"]["worst_case"]}
    figures |= {f"{name} at {point['name']}": figure for name, figure in point["worst_case"]["figures"].items()}
    for name, figure in figures.items():
        table.add_row(name, _number(figure["value"]), _bounds(figure))
    console.print(table)
    if len(metrics["findings"]) > 1:
        console.print(_findings_table(metrics))
    for each in metrics["warnings"]:
        console.print(f"[yellow]![/] {escape(each)}", highlight=False)
    for bar in metrics["bars"]:
        mark = "[green]holds[/]" if bar["holds"] else "[bold red]fails[/]"
        console.print(f"{mark}  {escape(bar['bar'])}  (found {_number(bar['bound'])})", highlight=False)
    if metrics["dicom"]:
        wrong, count = len(metrics["dicom"]["disagreements"]), metrics["dicom"]["images"]
        told = f"[bold red]{wrong} of {count} images[/] differ" if wrong else f"[green]all {count} images agree[/]"
        console.print(f"service and files: {told}")
    if metrics["paper"]:
        console.print(f"against {escape(metrics['paper']['cohort']['title'])}: [bold]{metrics['paper']['verdict']}[/]")
        for obstacle in metrics["paper"]["obstacles"]:
            console.print(f"  {obstacle}", highlight=False, markup=False)


def _findings_table(metrics: MetricsRecord) -> Table:
    table = Table("by finding, worst case", "n", "pos.", "AUC", "sensitivity", "specificity", title=None)
    for each in metrics["findings"]:
        figures = each["in_force"]["image"]["worst_case"]["figures"]
        cells = (each["image"]["auc"]["worst_case"], figures["sensitivity"], figures["specificity"])
        counts = (str(each["image"]["n"]), str(each["image"]["positives"]))
        table.add_row(escape(each["title"]), *counts, *map(_with_bounds, cells))
    if (macro := metrics["macro_average"]) is not None:
        means = (macro["worst_case"][name] for name in ("auc", "sensitivity", "specificity"))
        table.add_row("mean of the findings", "", "", *map(_with_bounds, means))
    if (combined := metrics["combined"]) is not None:
        figures = combined["study"]["worst_case"]["figures"]
        pair = map(_with_bounds, (figures["sensitivity"], figures["specificity"]))
        table.add_row("any that counts, per study", str(figures["accuracy"]["n"]), "", "", *pair)
    return table


def _with_bounds(figure: FigureRecord) -> str:
    bounds = main_bounds(figure)
    told = f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if bounds else ""
    return "–" if figure["value"] is None else f"{figure['value']:.3f}{told}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bounds(figure: FigureRecord) -> str:
    bounds = main_bounds(figure)
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""
