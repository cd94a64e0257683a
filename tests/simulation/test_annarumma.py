"""The scenarios after Annarumma et al. 2019: their published figures, and the page that shows what comes out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from triage.simulation.compare import ScenarioComparison, simulate
from triage.simulation.confusion import ClassFigures
from triage.simulation.report import figures_by_stated_class
from triage.simulation.scenario import Scenario, read_scenario

DOCS = Path(__file__).parents[2] / "docs"


@cache
def scenario(name: str) -> Scenario:
    return read_scenario(DOCS / "simulation" / f"{name}.toml", {})


def test_every_model_keeps_what_is_published():
    """Normal: sensitivity 0.71, specificity 0.95, PPV 0.73, NPV 0.94; critical: 0.65 and 0.94."""
    points = {point.point: point for point in scenario("annarumma-points").case_mix.confusions}
    assert set(points) == {"", "fitted", "worst", "best", "requests"}
    for name in ("", "fitted", "worst", "best"):
        figures = figures_by_stated_class(scenario("annarumma-points"), points[name])
        assert _rounded(figures["normal"], 3)[:2] == (0.71, 0.95)
        assert _rounded(figures["normal"], 2)[2:] == (0.73, pytest.approx(0.94, abs=0.011))
        assert _rounded(figures["critical"], 3)[:2] == (0.65, 0.94)


def _rounded(figures: ClassFigures, digits: int) -> tuple[float, ...]:
    found = (figures.sensitivity, figures.specificity, figures.ppv, figures.npv)
    return tuple(round(value, digits) for value in found if value is not None)


def test_both_scenarios_are_of_one_room():
    orders, points = scenario("annarumma"), scenario("annarumma-points")
    for part in ("arrivals", "readers", "urgency", "run"):
        assert getattr(orders, part) == getattr(points, part)


@pytest.mark.parametrize("name", ["annarumma", "annarumma-points"])
def test_the_page_shows_what_the_scenarios_give(name: str):
    shown = (DOCS / "results" / "annarumma.md").read_text()
    found = simulate(scenario(name))
    missing = [row for row in _rows(found) if row not in shown]
    assert not missing, "\n".join(missing)
    # Waits of months are within the curves, too.
    assert {curves["normal"][-1] for curves in found.curves.values()} == {1.0}


def _rows(comparison: ScenarioComparison) -> list[str]:
    """The page's rows: a group's days until the report, by policy."""
    several = bool(comparison.scenario.operating_point)
    classes = ("critical", "urgent", "nonurgent", "normal")
    groups = (*classes, "all") if several else tuple(group for group, count in comparison.counts.items() if count)
    means = [(f"{group} ({comparison.counts[group]:,})", group, "mean") for group in groups]
    p95 = [(f"{group}, 95th percentile", group, "p95") for group in (classes[:2] if several else groups)]
    p99 = [(f"{group}, 99th percentile", group, "p99") for group in (classes[:2] if several else classes)]
    return [
        f"| {' | '.join([title, *(_days(comparison, policy, *figure) for policy in comparison.statistics)])} |"
        for title, *figure in means + p95 + p99
    ]


def _days(comparison: ScenarioComparison, policy: str, group: str, statistic: str) -> str:
    found = comparison.estimate(policy, "report", group, statistic).scaled(1440)
    return f"{found.value:.1f} ±{found.upper - found.value:.1f}"
