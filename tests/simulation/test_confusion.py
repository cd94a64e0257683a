"""Operating points: as a matrix, as a detector for each class, and what policies make of several of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from triage.simulation.cases import draw_cases
from triage.simulation.compare import ScenarioComparison, simulate
from triage.simulation.confusion import OperatingPoint, figures_by_class
from triage.simulation.report import as_record, as_text
from triage.simulation.scenario import Scenario

CLASSES = ("critical", "urgent", "normal")
PREVALENCES = (0.1, 0.3, 0.6)
STRICT = {
    "critical": {"critical": 0.5, "urgent": 0.3, "normal": 0.2},
    "urgent": {"critical": 0.05, "urgent": 0.6, "normal": 0.35},
    "normal": {"critical": 0.01, "urgent": 0.04, "normal": 0.95},
}
DETECTORS = {
    "critical": {"sensitivity": 0.9, "specificity": 0.8},
    "urgent": {"sensitivity": 0.85, "specificity": 0.7},
}


def a_scenario(**changes: object) -> Scenario:
    reading = {"distribution": "exponential", "mean_minutes": 6.0}
    urgency = [
        {"name": name, "prevalence": share, "reading": reading, "not_assessed": 0.1}
        for name, share in zip(CLASSES, PREVALENCES, strict=True)
    ]
    values = {
        "arrivals": {"per_hour": 8.0},
        "urgency": urgency,
        "operating_point": [{"name": "strict", "predicted": STRICT}, {"name": "wide", "detects": DETECTORS}],
        "policy": [{"name": "at strict"}, {"name": "at wide", "point": "wide"}, {"name": "truth", "perfect": True}],
        "run": {"weeks": 4, "replications": 6, "seed": 3},
    }
    return Scenario.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def comparison() -> ScenarioComparison:
    return simulate(a_scenario())


def test_of_detectors_the_most_urgent_that_raises_a_study_says_its_class():
    rows = OperatingPoint.model_validate({"name": "wide", "detects": DETECTORS}).rows(CLASSES)
    assert rows[0] == pytest.approx({"critical": 0.9, "urgent": 0.1 * 0.3, "normal": 0.1 * 0.7})
    assert rows[1] == pytest.approx({"critical": 0.2, "urgent": 0.8 * 0.85, "normal": 0.8 * 0.15})
    assert rows[2] == pytest.approx({"critical": 0.2, "urgent": 0.8 * 0.3, "normal": 0.8 * 0.7})


def test_the_figures_of_a_class_are_those_of_its_two_by_two_table():
    counts = np.asarray([[8, 1, 1], [6, 20, 4], [3, 12, 45]])
    shares = counts / counts.sum(axis=1, keepdims=True)
    found = figures_by_class(shares.tolist(), counts.sum(axis=1).tolist())
    urgent = found[1]
    assert urgent.sensitivity == pytest.approx(20 / 30)
    assert urgent.specificity == pytest.approx((8 + 1 + 3 + 45) / 70)
    assert urgent.ppv == pytest.approx(20 / 33)
    assert urgent.npv == pytest.approx(57 / 67)
    never = figures_by_class([[0.0, 1.0], [0.0, 1.0]], [0.5, 0.5])[0]
    assert (never.sensitivity, never.ppv) == (0.0, None)


def test_studies_are_stated_as_each_point_says_and_assessed_at_all_or_none():
    cases = draw_cases(a_scenario(run={"weeks": 300}), None, np.random.default_rng(1))
    assert list(cases.predicted_at) == ["wide"]
    assert np.array_equal(cases.stated(None) == 3, cases.stated("wide") == 3)
    assert cases.stated("strict") is cases.stated(None)
    critical = cases.urgency == 0
    shares = [np.bincount(cases.stated(point)[critical], minlength=4) / critical.sum() for point in (None, "wide")]
    assert shares[0] == pytest.approx([0.45, 0.27, 0.18, 0.1], abs=0.01)
    assert shares[1] == pytest.approx([0.81, 0.027, 0.063, 0.1], abs=0.01)


def test_a_second_point_changes_nothing_of_the_first():
    alone = simulate(a_scenario(operating_point=[{"name": "strict", "predicted": STRICT}], policy=[{"name": "x"}]))
    both = simulate(a_scenario(policy=[{"name": "x"}]))
    for measure in ("wait", "report"):
        for group in alone.groups:
            assert alone.estimate("x", measure, group, "p95") == both.estimate("x", measure, group, "p95")
    assert set(both.groups) - set(alone.groups) == {
        "missed critical at wide",
        "missed urgent at wide",
        "critical taken for normal at wide",
    }


def test_what_a_point_misses_waits_and_is_compared_with_fifo_on_the_same_studies(comparison: ScenarioComparison):
    assert comparison.counts["missed critical at wide"] < 0.5 * comparison.counts["missed critical"]
    for policy, group in (("at strict", "critical taken for normal"), ("at wide", "critical taken for normal at wide")):
        assert comparison.versus_fifo(policy, "wait", group, "mean").value > 0
    # At the wide point what the strict one missed does not wait so long.
    assert comparison.versus("at strict", "at wide", "wait", "missed critical", "mean").upper < 0


def test_tables_show_a_group_of_one_point_under_the_policies_of_that_point(comparison: ScenarioComparison):
    assert comparison.policies_of("missed critical") == ["FIFO", "at strict", "truth"]
    assert comparison.policies_of("missed critical at wide") == ["FIFO", "at wide"]
    assert comparison.policies_of("critical") == ["FIFO", "at strict", "at wide", "truth"]
    rows = as_text(comparison).split("missed critical at wide (")[1].splitlines()
    assert [row.split("  ")[0] for row in rows[1:3]] == ["", ""]
    assert "at wide" in rows[1]
    assert "99th percentile" in as_text(comparison)


def test_text_and_record_state_each_class_at_each_point(comparison: ScenarioComparison):
    text = as_text(comparison)
    assert "at strict, stated to be critical: sensitivity 0.500, specificity 0.977, PPV 0.704, NPV 0.946" in text
    assert "at wide, stated to be critical: sensitivity 0.900, specificity 0.800, PPV 0.333, NPV 0.986" in text
    record = json.loads(json.dumps(as_record(comparison), allow_nan=False))
    points = {each["name"]: each for each in record["operating_points"]}
    assert points["wide"]["predicted"]["critical"]["normal"] == pytest.approx(0.07)
    assert points["wide"]["stated"]["critical"]["ppv"] == pytest.approx(1 / 3)
    assert "p99" in record["policies"]["at wide"]["missed critical at wide"]["wait"]


def test_two_classes_may_have_further_points():
    two = {
        "arrivals": {"per_hour": 8.0},
        "prevalence": 0.2,
        "reading": {"normal": {"distribution": "exponential", "mean_minutes": 6.0}},
        "model": {"sensitivity": 0.7, "specificity": 0.9},
        "operating_point": [{"name": "wide", "detects": {"abnormal": {"sensitivity": 0.95, "specificity": 0.6}}}],
        "policy": [{"name": "first"}, {"name": "wide", "point": "wide"}],
        "run": {"weeks": 4, "replications": 2},
    }
    found = simulate(Scenario.model_validate(two))
    missed = [found.counts[f"missed abnormal{at}"] / found.counts["abnormal"] for at in ("", " at wide")]
    assert missed == pytest.approx([0.3, 0.05], abs=0.04)
