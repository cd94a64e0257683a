"""Scenarios, arrivals, figures and the command of ``triage simulate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from triage.cli import triage
from triage.simulation.arrivals import ArrivalLogError, draw_arrivals, read_log
from triage.simulation.cases import draw_cases
from triage.simulation.compare import ScenarioComparison, simulate
from triage.simulation.operating_point import read_operating_point
from triage.simulation.outcome import CURVE_EDGES, MEASURES, STATISTICS, estimate
from triage.simulation.reading_time import ReadingTime
from triage.simulation.report import as_record, as_text
from triage.simulation.scenario import EXAMPLE, Scenario, ScenarioError, read_scenario
from triage.simulation.student_t import central_limit
from triage.simulation.time_units import HOURS

ABNORMAL_NORMAL = ("1", "0")  # labels of logs, the more urgent first
EXPONENTIAL = {"distribution": "exponential", "mean_minutes": 6.0}


def a_scenario(**changes: object) -> Scenario:
    """One reader who is busy 80 % of the time, day and night."""
    values = {
        "prevalence": 0.2,
        "arrivals": {"per_hour": 8.0},
        "readers": {"count": 1},
        "reading": {"normal": EXPONENTIAL},
        "model": {"sensitivity": 0.9, "specificity": 0.9, "not_assessed": 0.05},
        "run": {"weeks": 4, "replications": 8, "seed": 3},
    }
    return Scenario.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def comparison() -> ScenarioComparison:
    policies = [
        {"name": "first"},
        {"name": "interrupting", "preemptive": True},
        {"name": "last", "order": "normals last"},
        {"name": "capped", "order": "normals last", "cap_minutes": 60},
    ]
    return simulate(a_scenario(policy=policies))


def test_as_baltruschat_saw_the_mean_falls_and_the_maximum_rises_unless_capped(comparison: ScenarioComparison):
    """Eur Radiol 2021;31:3837: mean turnaround of critical findings falls, the maximum rises by what the model misses,
    and a limit to the wait brings it down again."""

    def change(policy: str, group: str, statistic: str):
        return comparison.versus_fifo(policy, "report", group, statistic)

    for policy in ("first", "last"):
        assert change(policy, "abnormal", "mean").upper < 0
        assert change(policy, "abnormal", "maximum").lower > 0
        assert change(policy, "missed abnormal", "mean").lower > 0
    assert change("capped", "abnormal", "mean").upper < 0
    assert comparison.versus("last", "capped", "report", "abnormal", "maximum").upper < 0


def test_an_interruption_spares_the_abnormal_the_rest_of_another_reading(comparison: ScenarioComparison):
    waits = [comparison.estimate(policy, "wait", "abnormal", "mean") for policy in ("interrupting", "first")]
    assert waits[0].upper < waits[1].lower


def test_fifo_does_not_care_for_tags(comparison: ScenarioComparison):
    means = {group: comparison.estimate("FIFO", "report", group, "mean") for group in ("abnormal", "missed abnormal")}
    assert means["missed abnormal"].lower < means["abnormal"].value < means["missed abnormal"].upper


def test_groups_and_counts_add_up(comparison: ScenarioComparison):
    counts = comparison.counts
    assert counts["abnormal"] + counts["normal"] == counts["all"]
    assert counts["missed abnormal"] / counts["abnormal"] == pytest.approx(0.1 * 0.95, abs=0.02)
    assert counts["not assessed"] / counts["all"] == pytest.approx(0.05, abs=0.01)
    assert comparison.utilisation == pytest.approx(0.8)


def test_the_curves_are_distributions_of_the_same_studies(comparison: ScenarioComparison):
    for policy, curves in comparison.curves.items():
        curve = curves["abnormal"]
        assert (np.diff(curve) >= 0).all()
        assert curve[-1] == 1.0
        median = comparison.estimate(policy, "report", "abnormal", "median").value
        assert np.interp(median, CURVE_EDGES, curve) == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_gives_the_same_figures_and_another_gives_others():
    few = {"weeks": 1, "replications": 2}
    first, again, other = (simulate(a_scenario(run={**few, "seed": seed})) for seed in (1, 1, 2))
    for policy, statistics in first.statistics.items():
        np.testing.assert_array_equal(statistics, again.statistics[policy])
        assert not np.array_equal(statistics, other.statistics[policy])


def test_intervals_cover_what_is_known():
    """Student's t over replications: 95 % of the intervals have the true mean in them."""
    rng = np.random.default_rng(5)
    found = [estimate(rng.exponential(3.0, (8, 400)).mean(axis=1)) for _ in range(1000)]
    assert np.mean([each.lower < 3.0 < each.upper for each in found]) == pytest.approx(0.95, abs=0.025)
    assert estimate([1.0, float("nan"), 3.0]).value == 2.0
    assert np.isnan(estimate([1.0, float("nan")]).lower)
    assert np.isnan(estimate([float("nan")]).value)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 19, 100, 999])
def test_the_limits_of_intervals_are_students(degrees: int):
    from scipy.stats import t

    assert central_limit(0.95, degrees) == pytest.approx(t.ppf(0.975, degrees), rel=1e-9)
    assert central_limit(0.5, degrees) == pytest.approx(t.ppf(0.75, degrees), rel=1e-9)


def test_rates_are_those_of_the_hours_of_the_week():
    per_hour = [0.0] * HOURS
    per_hour[0], per_hour[30], per_hour[HOURS - 1] = 5.0, 40.0, 10.0
    arrived = draw_arrivals(per_hour, 300, np.random.default_rng(1))

    assert (np.diff(arrived) >= 0).all()
    found = np.bincount((arrived // 60).astype(int) % HOURS, minlength=HOURS) / 300
    assert set(np.flatnonzero(found)) == {0, 30, HOURS - 1}
    for hour in (0, 30, HOURS - 1):
        assert found[hour] == pytest.approx(per_hour[hour], abs=5 * np.sqrt(per_hour[hour] / 300))


def test_times_between_arrivals_are_exponential():
    from scipy.stats import kstest

    arrived = draw_arrivals([6.0] * HOURS, 20, np.random.default_rng(2))
    assert kstest(np.diff(arrived), "expon", args=(0, 10.0)).pvalue > 0.001


@pytest.mark.parametrize(
    ("keys", "sd"),
    [
        ({"distribution": "lognormal", "mean_minutes": 5.0, "sd_minutes": 3.0}, 3.0),
        ({"distribution": "gamma", "mean_minutes": 5.0, "sd_minutes": 3.0}, 3.0),
        ({"distribution": "exponential", "mean_minutes": 5.0}, 5.0),
        ({"distribution": "constant", "mean_minutes": 5.0}, 0.0),
        ({"distribution": "measured", "measured_minutes": [1.0, 9.0]}, 4.0),
    ],
)
def test_reading_times_have_the_mean_and_spread_that_were_asked_for(keys: dict[str, object], sd: float):
    time = ReadingTime.model_validate(keys)
    drawn = time.draw(200_000, np.random.default_rng(1))
    assert time.mean == 5.0
    assert (drawn.mean(), drawn.std()) == (pytest.approx(5.0, rel=0.02), pytest.approx(sd, rel=0.03))
    assert drawn.min() >= 0


def test_tags_come_from_the_operating_point():
    scenario = a_scenario(
        model={"sensitivity": 0.7, "specificity": 0.6, "not_assessed": 0.1, "not_assessed_abnormal": 0.4},
        run={"weeks": 200},
    )
    cases = draw_cases(scenario, None, np.random.default_rng(1))
    abnormal, normal, not_assessed = 0, 1, 2
    sick, well = (cases.predicted[cases.urgency == urgency] for urgency in (abnormal, normal))
    assert np.mean(sick == not_assessed) == pytest.approx(0.4, abs=0.01)
    assert np.mean(well == not_assessed) == pytest.approx(0.1, abs=0.01)
    assert np.mean(sick[sick != not_assessed] == abnormal) == pytest.approx(0.7, abs=0.01)
    assert np.mean(well[well != not_assessed] == normal) == pytest.approx(0.6, abs=0.01)


def write_log(folder: Path, *rows: str) -> Path:
    path = folder / "log.csv"
    path.write_text("arrived,label\n" + "\n".join(rows) + "\n")
    return path


def test_a_log_counts_from_its_monday_and_knows_the_truth_of_some(tmp_path: Path):
    rows = ("2026-03-04T00:30:00,", "2026-03-03T08:15:00,1", "2026-03-03T23:00,0")
    log = read_log(write_log(tmp_path, *rows), ABNORMAL_NORMAL)
    assert log.arrived.tolist() == [1440 + 495.0, 1440 + 1380.0, 2880 + 30.0]
    assert log.urgency.tolist() == [0, 1, -1]


def test_a_log_is_simulated_as_it_is(tmp_path: Path):
    rows = [
        f"2026-03-0{day}T{hour:02d}:{minute:02d}:00,1" for day in (2, 3) for hour in (9, 10) for minute in (0, 1, 2)
    ]
    path = write_log(tmp_path, *rows, "2026-03-08T23:59:00,0")
    reading = {"normal": {"distribution": "constant", "mean_minutes": 4.0}}
    perfect = {"sensitivity": 1.0, "specificity": 1.0}
    found = simulate(a_scenario(arrivals={"log": path}, reading=reading, model=perfect, run={"replications": 2}))

    assert (found.counts["abnormal"], found.counts["normal"]) == (2 * 12, 2)
    assert found.estimate("FIFO", "wait", "abnormal", "maximum").value == 6.0
    assert found.estimate("FIFO", "report", "abnormal", "mean").value == 7.0
    assert found.estimate("FIFO", "report", "normal", "mean").value == 4.0


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("tomorrow,1", r"line 3: arrived 'tomorrow'"),
        ("2026-03-03T08:15:00,2", "line 3: label '2'"),
        ("2026-03-03T08:15:00+01:00,", "time zone"),
    ],
)
def test_a_wrong_log_names_the_line(tmp_path: Path, row: str, named: str):
    with pytest.raises(ArrivalLogError, match=named):
        read_log(write_log(tmp_path, "2026-03-02T08:15:00,1", row), ABNORMAL_NORMAL)


def test_a_log_of_nothing_and_no_log_are_refused(tmp_path: Path):
    with pytest.raises(ArrivalLogError, match="fewer than two"):
        read_log(write_log(tmp_path, "2026-03-02T08:15:00,1"), ABNORMAL_NORMAL)
    with pytest.raises(ArrivalLogError, match="cannot be read"):
        read_log(tmp_path / "absent.csv", ABNORMAL_NORMAL)
    (tmp_path / "other.csv").write_text("time\n")
    with pytest.raises(ArrivalLogError, match="no column arrived"):
        read_log(tmp_path / "other.csv", ABNORMAL_NORMAL)


@pytest.mark.parametrize(
    "metrics",
    [
        {"operating_points": [{"name": "card", "sensitivity": {"value": 0.9}, "specificity": {"value": 0.7}}]},
        {"operating_points": {"card": {"sensitivity": 0.9, "specificity": 0.7}}},
        {"operating_points": [{"threshold": 0.4, "sensitivity": 0.9, "specificity": 0.7}], "coverage": {"value": 0.96}},
    ],
)
def test_an_operating_point_is_read_from_what_validate_wrote(tmp_path: Path, metrics: dict[str, object]):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(metrics))
    model = read_operating_point(path, None)
    assert (model["sensitivity"], model["specificity"]) == (0.9, 0.7)
    assert model["not_assessed"] == (0.04 if "coverage" in metrics else 0.0)
    with pytest.raises(ScenarioError, match="no operating point 'other'"):
        read_operating_point(path, "other")


def test_of_a_validation_the_figures_per_study_are_read_and_each_class_has_its_own_coverage(tmp_path: Path):
    def unit(positives: int, tp: int, fn: int) -> dict[str, object]:
        figures = {
            "sensitivity": {"value": tp / (tp + fn), "n": tp + fn, "intervals": {}},
            "specificity": {"value": 0.75},
        }
        assessed = {"confusion": {"tp": tp, "fn": fn, "fp": 20, "tn": 60}, "figures": figures}
        worst = {"confusion": {}, "figures": {"sensitivity": {"value": 0.1}, "specificity": {"value": 0.1}}}
        point = {"name": "site", "threshold": 0.4, "assessed": assessed, "worst_case": worst}
        return {"positives": positives, "negatives": 100, "coverage": {"value": 0.5}, "points": [point]}

    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"image": unit(50, 10, 10), "study": unit(40, 18, 2)}))
    assert read_operating_point(path, "site") == {
        "sensitivity": 0.9,
        "specificity": 0.75,
        "not_assessed": 0.2,
        "not_assessed_abnormal": 0.5,
        "source": "metrics.json, operating point site",
    }


def test_which_of_several_operating_points_must_be_said(tmp_path: Path):
    path = tmp_path / "metrics.json"
    point = {"sensitivity": {"value": 0.9, "lower": 0.8}, "specificity": {"value": 0.7}, "coverage": 0.5}
    path.write_text(json.dumps({"operating_points": {"0.5": point, "card": {**point, "specificity": None}}}))
    with pytest.raises(ScenarioError, match=r"--point: 0\.5, card"):
        read_operating_point(path, None)
    assert read_operating_point(path, "0.5")["not_assessed"] == 0.5
    with pytest.raises(ScenarioError, match="no specificity"):
        read_operating_point(path, "card")
    path.write_text("[]")
    with pytest.raises(ScenarioError, match="no operating points"):
        read_operating_point(path, None)


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ("prevalence = 0.30", "prevalence = 1.3", "prevalence"),
        ("prevalence = 0.30", "prevalance = 0.3", "prevalance"),
        ("weeks = 8", "weeks = 0", "run.weeks"),
        ("per_hour = [2, ", "per_hour = [", "not 23"),
        ("sd_minutes = 3.0", "", "sd_minutes is for"),
        ("mean_minutes = 4.5", "mean_minutes = 0", "mean_minutes"),
        ("seed = 1", 'seed = 1\n[[policy]]\nname = "FIFO"', "names of their own"),
        ("seed = 1", 'seed = 1\n[[policy]]\nname = "x"\norder = "lifo"', "policy.0.order"),
        ("[run]", "[run", "cannot be read"),
    ],
)
def test_a_wrong_scenario_is_refused_and_the_key_named(tmp_path: Path, was: str, becomes: str, named: str):
    path = tmp_path / "scenario.toml"
    assert was in EXAMPLE
    path.write_text(EXAMPLE.replace(was, becomes, 1))
    with pytest.raises(ScenarioError, match=named):
        read_scenario(path, {})


def test_readers_who_cannot_keep_up_are_an_error():
    with pytest.raises(ScenarioError, match="112% of their time"):
        simulate(a_scenario(arrivals={"per_hour": 11.2}))


def test_the_record_has_every_figure_and_is_json(comparison: ScenarioComparison):
    record = json.loads(json.dumps(as_record(comparison), allow_nan=False))
    assert record["scenario"]["model"]["sensitivity"] == 0.9
    for policy, groups in record["policies"].items():
        for group in comparison.groups:
            for measure in MEASURES:
                for statistic in STATISTICS:
                    figure = groups[group][measure][statistic]
                    assert figure["lower"] <= figure["value"] <= figure["upper"]
                    assert ("versus_fifo" in figure) == (policy != "FIFO")


def test_a_group_without_studies_is_said_to_have_none():
    perfect = {"sensitivity": 1.0, "specificity": 1.0}
    found = simulate(a_scenario(model=perfect, run={"weeks": 1, "replications": 2}))
    assert "no study" in as_text(found)
    json.dumps(as_record(found), allow_nan=False)


def test_the_command_leaves_tables_figures_and_json(tmp_path: Path):
    scenario, metrics, out = tmp_path / "scenario.toml", tmp_path / "metrics.json", tmp_path / "out"
    scenario.write_text(CliRunner().invoke(triage, ["simulate", "--example"]).output)
    metrics.write_text(json.dumps({"operating_points": {"card": {"sensitivity": 0.8, "specificity": 0.7}}}))
    arguments = ["simulate", scenario, "--metrics", metrics, "--out", out, "--weeks", 1, "--replications", 2]
    done = CliRunner().invoke(triage, [str(argument) for argument in arguments])

    assert done.exit_code == 0, done.output
    assert done.stdout == (out / "simulation.txt").read_text()
    assert "sensitivity 0.8, specificity 0.7" in done.stdout
    assert json.loads((out / "simulation.json").read_text())["scenario"]["run"]["weeks"] == 1
    for name in ("turnaround", "versus-fifo"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{name}.svg").read_text()


def test_the_command_says_what_is_wrong_in_a_line(tmp_path: Path):
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("prevalence = 2\n")
    done = CliRunner().invoke(triage, ["simulate", str(scenario)])
    assert done.exit_code == 78
    assert "prevalence" in done.output
    assert CliRunner().invoke(triage, ["simulate"]).exit_code == 2


def test_the_documentation_shows_what_the_example_gives():
    folder = Path(__file__).parents[2] / "docs"
    example = folder / "simulation" / "example.toml"
    assert example.read_text() == EXAMPLE
    table = as_text(simulate(read_scenario(example, {}))).partition("\nMinutes until the reading begins")[0]
    shown = (folder / "how-to" / "simulation.md").read_text()
    # Word by word, for the widths of columns are not the point. Should NumPy draw otherwise one day: paste it anew.
    assert " ".join(table.split()) in " ".join(shown.split())
