"""Scenarios with any number of classes of urgency, and with a backlog."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from triage.simulation.arrivals import ArrivalLogError, read_log
from triage.simulation.cases import Cases, draw_cases
from triage.simulation.compare import ScenarioComparison, simulate, simulate_policy
from triage.simulation.outcome import study_groups
from triage.simulation.plots import write_plots
from triage.simulation.policies import ReadingPolicy
from triage.simulation.report import as_record, as_text
from triage.simulation.scenario import Scenario

READING = {"distribution": "exponential", "mean_minutes": 6.0}
URGENCY = [
    {"name": "red", "prevalence": 0.1, "predicted": {"red": 0.7, "yellow": 0.2, "green": 0.1}, "not_assessed": 0.2},
    {"name": "yellow", "prevalence": 0.3, "predicted": {"red": 0.1, "yellow": 0.6, "green": 0.3}},
    {"name": "green", "prevalence": 0.6, "predicted": {"yellow": 0.25, "green": 0.75}, "not_assessed": 0.05},
]


def a_scenario(**changes: object) -> Scenario:
    """One reader who is busy 80 % of the time, day and night."""
    values = {
        "arrivals": {"per_hour": 8.0},
        "urgency": [{**each, "reading": READING} for each in URGENCY],
        "run": {"weeks": 2, "replications": 4, "seed": 3},
    }
    return Scenario.model_validate({**values, **changes})


def changed(place: int, **keys: object) -> list[dict[str, object]]:
    return [{**each, "reading": READING, **(keys if place == at else {})} for at, each in enumerate(URGENCY)]


def test_two_classes_are_the_special_case():
    slow = {"mean_minutes": 9.0, "sd_minutes": 4.0}
    room = {"arrivals": {"per_hour": 7.0}, "run": {"weeks": 1, "replications": 2}}
    model = {"sensitivity": 0.9, "specificity": 0.8, "not_assessed": 0.05, "not_assessed_abnormal": 0.1}
    two = {"prevalence": 0.2, "reading": {"normal": READING, "abnormal": slow}, "model": model}
    sick = {"predicted": {"abnormal": 0.9, "normal": 0.1}, "not_assessed": 0.1}
    well = {"predicted": {"abnormal": 1 - 0.8, "normal": 0.8}, "not_assessed": 0.05}
    urgency = [
        {"name": "abnormal", "prevalence": 0.2, "reading": slow, **sick},
        {"name": "normal", "prevalence": 0.8, "reading": READING, **well},
    ]
    first, second = (simulate(Scenario.model_validate({**room, **mix})) for mix in (two, {"urgency": urgency}))

    assert first.groups == second.groups == ("abnormal", "normal", "not assessed", "missed abnormal", "all")
    for policy, statistics in first.statistics.items():
        np.testing.assert_array_equal(statistics, second.statistics[policy])


def test_studies_are_drawn_as_the_classes_say():
    cases = draw_cases(a_scenario(run={"weeks": 300}), None, np.random.default_rng(1))
    assert np.bincount(cases.urgency) / len(cases.urgency) == pytest.approx([0.1, 0.3, 0.6], abs=0.005)
    rows = [[0.8 * 0.7, 0.8 * 0.2, 0.8 * 0.1, 0.2], [0.1, 0.6, 0.3, 0.0], [0.0, 0.95 * 0.25, 0.95 * 0.75, 0.05]]
    for urgency, row in enumerate(rows):
        of_class = cases.predicted[cases.urgency == urgency]
        assert np.bincount(of_class, minlength=4) / len(of_class) == pytest.approx(row, abs=0.01)


def test_groups_are_of_the_truth_and_missed_are_those_put_too_low():
    every = np.asarray([(urgency, predicted) for urgency in range(3) for predicted in range(4)], dtype=np.int8)
    minutes, measured = np.zeros(12), np.ones(12, dtype=bool)
    cases = Cases(minutes, minutes, every[:, 0], every[:, 1], measured, ("red", "yellow", "green"))

    found = {name: [tuple(pair) for pair in every[mask].tolist()] for name, mask in study_groups(cases).items()}

    assert found.pop("all") == [tuple(pair) for pair in every.tolist()]
    assert found.pop("yellow") == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert found.pop("not assessed") == [(0, 3), (1, 3), (2, 3)]
    assert found.pop("missed red") == [(0, 1), (0, 2)]
    assert found.pop("missed yellow") == [(1, 2)]
    assert found.pop("red taken for green") == [(0, 2)]
    assert set(found) == {"red", "green"}


@pytest.mark.parametrize(
    ("order", "levels"),
    [
        ("fifo", (0, 0, 0, 0)),
        ("priority", (0, 1, 2, 2)),
        ("normals last", (0, 1, 3, 2)),
        ((("red", "not assessed"), ("green", "yellow")), (0, 1, 1, 0)),
    ],
)
def test_an_order_is_of_predicted_classes(order: object, levels: tuple[int, ...]):
    policy = ReadingPolicy.model_validate({"name": "x", "order": order})
    assert policy.levels(("red", "yellow", "green")) == levels
    lines, discipline = policy.waiting(("red", "yellow", "green"))
    assert tuple(discipline.lines[line].level for line in lines) == levels
    assert len(discipline.lines) == len(set(levels))


@pytest.fixture(scope="module")
def comparison() -> ScenarioComparison:
    by_class = [["red"], ["yellow", "not assessed"], ["green"]]
    policies = [{"name": "predicted", "order": by_class}, {"name": "perfect", "order": by_class, "perfect": True}]
    return simulate(a_scenario(policy=policies, unit="hours"))


def test_a_perfect_model_misses_nobody_and_the_missed_pay_for_another(comparison: ScenarioComparison):
    def mean(policy: str, group: str) -> float:
        return comparison.estimate(policy, "wait", group, "mean").value

    assert mean("perfect", "red") < mean("predicted", "red") < mean("FIFO", "red")
    assert mean("perfect", "missed red") == pytest.approx(mean("perfect", "red"), rel=0.2)
    assert comparison.versus_fifo("predicted", "wait", "red taken for green", "mean").lower > 0
    # What is predicted alike waits alike, whatever it is.
    assert mean("predicted", "red taken for green") == pytest.approx(mean("predicted", "missed yellow"), rel=0.2)


def test_tables_figures_and_record_have_every_group(comparison: ScenarioComparison, tmp_path: Path):
    text = as_text(comparison)
    assert "Hours until the report is there" in text
    assert "red: prevalence 0.1, not assessed 0.2; the assessed predicted red 0.7, yellow 0.2, green 0.1" in text
    hours = comparison.estimate("FIFO", "report", "red", "mean").value / 60
    assert f"{hours:.1f}" in text.split("red (")[1].splitlines()[0]
    record = json.loads(json.dumps(as_record(comparison), allow_nan=False))
    assert set(record["policies"]["perfect"]) == set(comparison.groups)
    assert all(path.stat().st_size for path in write_plots(comparison, tmp_path))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"urgency": changed(0, prevalence=0.2)}, "prevalences of all classes must add up to 1, not 1.1"),
        ({"urgency": changed(0, predicted={"red": 0.7, "green": 0.2})}, "red is predicted to be must add up"),
        ({"urgency": changed(1, predicted={"blue": 1.0})}, "yellow is predicted to be of no class: blue"),
        ({"urgency": changed(1, name="red")}, "names of their own"),
        ({"urgency": changed(1, name="all")}, "names of their own"),
        ({"urgency": changed(1, name="missed red")}, "names of their own"),
        ({"urgency": changed(0)[:1]}, "two classes"),
        ({"prevalence": 0.3}, "not both"),
        ({"urgency": []}, "missing: prevalence, reading, model"),
        ({"policy": [{"name": "x", "order": [["red"], ["green"]]}]}, "policy x has to name each of these once: red"),
        ({"policy": [{"name": "x", "order": [["red", "yellow", "green"], ["not assessed", "red"]]}]}, "name each of"),
        ({"arrivals": {"log": "log.csv"}, "run": {"backlog_days": 2}}, "backlog_days is for arrivals.per_hour"),
    ],
)
def test_a_wrong_case_mix_or_order_is_refused_and_named(changes: dict[str, object], named: str):
    with pytest.raises(ValidationError, match=named):
        a_scenario(**changes)


def test_labels_of_a_log_are_names_of_classes(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("arrived,label\n2026-03-02T08:15,green\n2026-03-02T08:16,\n2026-03-02T08:17,red\n")
    scenario = a_scenario(arrivals={"log": path}, run={"replications": 2})
    assert read_log(path, scenario.labels).urgency.tolist() == [2, -1, 0]
    assert simulate(scenario).counts["green"] >= 2
    path.write_text("arrived,label\n2026-03-02T08:15,1\n2026-03-02T08:16,red\n")
    with pytest.raises(ArrivalLogError, match="'1' is not red, yellow, green or empty"):
        read_log(path, scenario.labels)


@pytest.mark.parametrize("preemptive", [False, True])
def test_a_backlog_is_there_when_reading_begins_and_is_read_in_order(preemptive: bool):
    run = {"weeks": 1, "warm_up_days": 0, "backlog_days": 3}
    scenario = a_scenario(run=run, policy=[{"name": "x", "order": "fifo", "preemptive": preemptive}])
    cases = draw_cases(scenario, None, np.random.default_rng(4))
    begun = cases.arrived + _waits(cases, scenario)

    opens = 3 * 1440.0
    assert begun[0] == opens
    assert (np.diff(begun) >= 0).all()
    backlog = np.count_nonzero(cases.arrived < opens)
    assert backlog == pytest.approx(3 * 24 * 8, rel=0.15)
    # The backlog is read back to back.
    assert begun[backlog - 1] == pytest.approx(opens + cases.reading[: backlog - 1].sum())


def _waits(cases: Cases, scenario: Scenario) -> np.ndarray:
    from triage.simulation.queues import run_queue

    policy = scenario.policy[0]
    _, discipline = policy.waiting(cases.classes)
    found = run_queue(
        cases.arrived.tolist(), cases.reading.tolist(), [0] * len(cases.arrived), scenario.duty(), discipline
    )
    assert simulate_policy(cases, scenario, policy).counts["all"] == np.count_nonzero(cases.measured)
    return np.asarray(found.begun) - cases.arrived
