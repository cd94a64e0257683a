"""What the commands of validation print, and how they get from settings to values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from triage.errors import StartError
from triage.predict import Compute
from triage.roles import policy_of
from triage.settings import Settings
from triage.validation import paper
from triage.validation.validate import METRICS, REPORT, Request, validate


def run_validation(settings: Settings, options: Mapping[str, Any]) -> bool:
    """Validate with a progress bar, print what came out; whether it passed. Raises StartError."""
    request = Request(**options)
    if request.paper is not None and request.paper not in paper.names():
        raise StartError(f"--paper {request.paper}: there are {', '.join(paper.names())}")
    worker = settings.worker
    compute = Compute(worker.provider, worker.threads, worker.decode_processes)
    with _progress() as bar:
        tasks: dict[str, Any] = {}

        def progress(what: str, more: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.advance(tasks[what], more)

        outcome = validate(request, policy_of(settings), compute, progress)
    _print(outcome.metrics)
    Console().print(f"{request.out / REPORT}  {request.out / METRICS}", highlight=False)
    return outcome.passed


def _print(metrics: Mapping[str, Any]) -> None:
    console = Console()
    image, point = metrics["image"], metrics["image"]["points"][0]
    table = Table("per image, worst case", "value", "95 %, bootstrap", title=None)
    figures = {"coverage": image["coverage"], "AUC": image["auc"]["worst_case"]}
    figures |= {f"{name} at {point['name']}": figure for name, figure in point["worst_case"]["figures"].items()}
    for name, figure in figures.items():
        table.add_row(name, _number(figure["value"]), _bounds(figure))
    console.print(table)
    for each in metrics["warnings"]:
        console.print(f"[yellow]![/] {each}", highlight=False)
    for each in metrics["bars"]:
        mark = "[green]holds[/]" if each["holds"] else "[bold red]fails[/]"
        console.print(f"{mark}  {each['bar']}  (found {_number(each['bound'])})", highlight=False)
    if metrics["paper"]:
        console.print(f"against {metrics['paper']['cohort']['title']}: [bold]{metrics['paper']['verdict']}[/]")
        for obstacle in metrics["paper"]["obstacles"]:
            console.print(f"  {obstacle}", highlight=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _bounds(figure: Mapping[str, Any]) -> str:
    low, high = figure["intervals"].get("bootstrap", (None, None))
    return "" if low is None else f"{low:.4f} to {high:.4f}"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
