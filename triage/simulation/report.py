"""The results of a simulation, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite

from rich.console import Console
from rich.table import Table

from triage.simulation.case_mix import UrgencyClass
from triage.simulation.compare import ScenarioComparison
from triage.simulation.confusion import ClassFigures, Confusion, figures_by_class
from triage.simulation.outcome import MEASURES, STATISTICS, Estimate
from triage.simulation.policies import FIFO
from triage.simulation.scenario import Scenario

SCHEMA = "cxr-triage simulation 1"
_HEADINGS = {"wait": "until the reading begins", "report": "until the report is there"}
_COLUMNS = {
    "mean": "mean",
    "median": "median",
    "p95": "95th percentile",
    "p99": "99th percentile",
    "maximum": "maximum",
}
_FIGURES = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}


def as_record(comparison: ScenarioComparison) -> dict[str, object]:
    """Return all results for JSON: ``policies`` → group → measure → statistic, in minutes with 95 % intervals."""
    return {
        "schema": SCHEMA,
        "unit": "minutes",
        "interval": "95 % confidence interval of the mean over replications (Student's t); differences are paired",
        "scenario": comparison.scenario.model_dump(mode="json"),
        "operating_points": [_point_record(comparison.scenario, each) for each in _confusions(comparison.scenario)],
        "utilisation": comparison.utilisation,
        "studies": dict(comparison.counts),
        "policies": {
            policy: {
                group: {
                    measure: {each: _statistic(comparison, policy, measure, group, each) for each in STATISTICS}
                    for measure in MEASURES
                }
                for group in comparison.groups
            }
            for policy in comparison.statistics
        },
    }


def as_text(comparison: ScenarioComparison) -> str:
    """Return the tables as text."""
    console = Console(width=200, no_color=True, color_system=None)
    with console.capture() as capture:
        console.print(_preamble(comparison), highlight=False, markup=False)
        for measure in reversed(MEASURES):
            console.print()
            console.print(_table(comparison, measure))
        console.print(_note(comparison), highlight=False, markup=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


_NOTE = """
Means over replications, ± half their 95 % interval; below each policy its difference to FIFO on the same studies.
"maximum" is the longest in one replication, averaged over replications: it grows with how much is simulated.
"""
_MISSED_OF_TWO = (
    '"missed abnormal" are abnormal studies that the model tagged NORMAL; they are among the abnormal ones, too.'
)
_MISSED_OF_MORE = (
    '"missed" are studies that the model took for less urgent than they are; they are among their class, too.'
)


def _note(comparison: ScenarioComparison) -> str:
    return _NOTE + (_MISSED_OF_MORE if comparison.scenario.urgency else _MISSED_OF_TWO)


def _preamble(comparison: ScenarioComparison) -> str:
    scenario = comparison.scenario
    when = f"{scenario.run.weeks} weeks" if scenario.arrivals.log is None else "the log"
    return (
        f"{comparison.counts['all']:,} studies: {scenario.run.replications} replications of {when}; "
        f"readers busy {comparison.utilisation:.0%} of their time\n"
        f"{_case_mix(scenario)}"
    )


def _case_mix(scenario: Scenario) -> str:
    model = scenario.model
    points = [line for each in _confusions(scenario) for line in _point(scenario, each)]
    if model is None:
        return "\n".join([*map(_urgency, scenario.urgency), *points])
    source = f" ({model.source})" if model.source else ""
    two_classes = (
        f"model: sensitivity {model.sensitivity:g}, specificity {model.specificity:g}, "
        f"not assessed {model.not_assessed:g}{source}; prevalence {scenario.prevalence:g}"
    )
    return "\n".join([two_classes, *(points if scenario.operating_point else ())])


def _confusions(scenario: Scenario) -> tuple[Confusion, ...]:
    return scenario.case_mix.confusions


def _point(scenario: Scenario, confusion: Confusion) -> Iterator[str]:
    """Yield a line for each class: the figures of stating it at an operating point."""
    at = f"at {confusion.point}, " if confusion.point else ""
    for name, figures in figures_by_stated_class(scenario, confusion).items():
        shown = ((key, value) for key, value in asdict(figures).items() if value is not None)
        yield f"{at}stated to be {name}: " + ", ".join(f"{_FIGURES[key]} {value:.3f}" for key, value in shown)


def _point_record(scenario: Scenario, confusion: Confusion) -> dict[str, object]:
    names = scenario.case_mix.names
    matrix = confusion.matrix(names)
    return {
        "name": confusion.point,
        "predicted": {true: dict(zip(names, row, strict=True)) for true, row in zip(names, matrix, strict=True)},
        "stated": {name: asdict(each) for name, each in figures_by_stated_class(scenario, confusion).items()},
    }


def figures_by_stated_class(scenario: Scenario, confusion: Confusion) -> dict[str, ClassFigures]:
    """Return the figures of stating each class at an operating point, at the prevalences of the scenario."""
    mix = scenario.case_mix
    assessed = [each.prevalence * (1 - each.not_assessed) for each in mix.classes]
    return dict(zip(mix.names, figures_by_class(confusion.matrix(mix.names), assessed), strict=True))


def _urgency(urgency: UrgencyClass) -> str:
    shares = f"{urgency.name}: prevalence {urgency.prevalence:g}, not assessed {urgency.not_assessed:g}"
    if not urgency.predicted:
        return shares
    predicted = ", ".join(f"{name} {share:g}" for name, share in urgency.predicted.items())
    return f"{shares}; the assessed predicted {predicted}"


def _table(comparison: ScenarioComparison, measure: str) -> Table:
    unit, scale = comparison.scenario.unit, comparison.scenario.minutes_per_unit
    title = f"{unit.capitalize()} {_HEADINGS[measure]}"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    table.add_column("studies")
    table.add_column("policy")
    columns = {each: heading for each, heading in _COLUMNS.items() if each != "p99" or comparison.scenario.urgency}
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for group in comparison.groups:
        named = f"{group} ({comparison.counts[group]:,})"
        for policy in comparison.policies_of(group):
            found = [comparison.estimate(policy, measure, group, each) for each in columns]
            table.add_row(named, policy, *(_cell(each.scaled(scale)) for each in found))
            named = ""
            if policy != FIFO.name:
                differences = [comparison.versus_fifo(policy, measure, group, each) for each in columns]
                table.add_row("", "", *(_cell(each.scaled(scale), "+") for each in differences))
        table.add_row()
    return table


def _cell(found: Estimate, sign: str = "") -> str:
    if not isfinite(found.value):
        return "no study"
    digits = 0 if abs(found.value) >= 1000 else 1
    half = found.upper - found.value
    return f"{found.value:{sign}.{digits}f}" + (f" ±{half:<5.{digits}f}" if isfinite(half) else "")


def _statistic(
    comparison: ScenarioComparison, policy: str, measure: str, group: str, statistic: str
) -> dict[str, object]:
    record = _record(comparison.estimate(policy, measure, group, statistic))
    if policy == FIFO.name:
        return dict(record)
    return {**record, "versus_fifo": _record(comparison.versus_fifo(policy, measure, group, statistic))}


def _record(found: Estimate) -> dict[str, float | None]:
    values = {"value": found.value, "lower": found.lower, "upper": found.upper}
    return {key: value if isfinite(value) else None for key, value in values.items()}
