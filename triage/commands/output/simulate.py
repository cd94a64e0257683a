"""Output of ``triage simulate``."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from triage.errors import StartError
from triage.simulation.compare import ScenarioComparison, simulate
from triage.simulation.operating_point import read_operating_point
from triage.simulation.report import as_record, as_text
from triage.simulation.scenario import Scenario, read_scenario


def run(scenario: Path, metrics: Path | None, point: str | None, options: dict[str, Any], out: Path | None) -> str:
    """Simulate the scenario and return the tables; with ``out``, also leave them there with JSON and figures.

    ``options`` are keys of the scenario's ``run`` that win over the file. Raises StartError.
    """
    if out is not None and find_spec("matplotlib") is None:
        raise StartError("the figures of --out need matplotlib: pip install 'cxr-triage[validate]'")
    changes: dict[str, dict[str, Any]] = {"run": options} if options else {}
    if metrics is not None:
        changes["model"] = read_operating_point(metrics, point)
    comparison = _with_progress(read_scenario(scenario, changes))
    text = as_text(comparison)
    if out is not None:
        _write(comparison, text, out)
    return text


def _with_progress(scenario: Scenario) -> ScenarioComparison:
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("simulating", total=scenario.run.replications)
        return simulate(scenario, lambda: progress.advance(task))


def _write(comparison: ScenarioComparison, text: str, out: Path) -> None:
    from triage.simulation.plots import write_plots

    out.mkdir(parents=True, exist_ok=True)
    (out / "simulation.txt").write_text(text, encoding="utf-8")
    (out / "simulation.json").write_text(json.dumps(as_record(comparison), indent=1, allow_nan=False) + "\n")
    write_plots(comparison, out)
