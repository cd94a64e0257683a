"""A scenario that is refused: each fault with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from triage.cli import triage
from triage.simulation.scenario import ScenarioError, read_scenario

ROOM = """\
[arrivals]
per_hour = 8.0

[[urgency]]
name = "critical"
prevalence = 0.1
reading = { mean_minutes = 6.0, sd_minutes = 3.0 }
predicted = { critical = 0.8, urgent = 0.15, normal = 0.05 }

[[urgency]]
name = "urgent"
prevalence = 0.3
reading = { mean_minutes = 6.0, sd_minutes = 3.0 }
predicted = { urgent = 0.9, normal = 0.1 }

[[urgency]]
name = "normal"
prevalence = 0.6
reading = { mean_minutes = 4.0, sd_minutes = 3.0 }
[urgency.predicted]
urgent = 0.2
normal = 0.8

[[operating_point]]
name = "wide"
[operating_point.detects]
critical = { sensitivity = 0.9, specificity = 0.8 }
urgent = { sensitivity = 0.9, specificity = 0.7 }

[[policy]]
name = "by class"
point = "wide"
[policy.cap_minutes]
normal = 240
"not assessed" = 60

[run]
weeks = 1
replications = 2
"""


def refused(folder: Path, *changes: tuple[str, str], **run: dict[str, object]) -> str:
    text = ROOM
    for was, becomes in changes:
        assert was in text
        text = text.replace(was, becomes, 1)
    path = folder / "room.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        read_scenario(path, run)
    assert str(error.value).startswith(f"{path} cannot be simulated:\n")
    return str(error.value).partition("\n")[2]


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        (
            "critical = 0.8, urgent = 0.15",
            "critical = 0.8, urgent = 0.05",
            "  line 8, urgency.0.predicted: what critical is predicted to be must add up to 1, not 0.9",
        ),
        (
            "urgent = 0.2\n",
            "urgent = 0.3\n",
            "  line 20, urgency.2.predicted: what normal is predicted to be must add up to 1, not 1.1",
        ),
        (
            "normal = 0.1 }",
            "norml = 0.1 }",
            "  line 14, urgency.1.predicted.norml: urgent is predicted to be of no class: norml; the classes are "
            "critical, urgent, normal",
        ),
        (
            "predicted = { urgent = 0.9, normal = 0.1 }\n",
            "",
            "  line 10, urgency.1.predicted: what urgent is predicted to be must add up to 1, not 0",
        ),
        ("urgent = 0.2\n", "urgent = nan\n", "  line 21, urgency.2.predicted.urgent: Input should be"),
        (
            "prevalence = 0.6",
            "prevalence = 0.5",
            "  line 4, urgency: the prevalences of all classes must add up to 1, not 0.9",
        ),
        (
            "normal = 240",
            "norml = 240",
            "  line 34, policy.0.cap_minutes.norml: a cap of no class: norml; the classes are critical, urgent, "
            "normal, not assessed",
        ),
        ("normal = 240", "normal = -1", "  line 34, policy.0.cap_minutes.normal: Input should be greater than 0"),
        ("normal = 240", "normal = inf", "  line 34, policy.0.cap_minutes.normal: Input should be a finite number"),
        (
            '[policy.cap_minutes]\nnormal = 240\n"not assessed" = 60',
            'cap_minutes = "soon"',
            "  line 33, policy.0.cap_minutes: Input should be a valid number",
        ),
        (
            'point = "wide"',
            'point = "narrow"',
            "  line 32, policy.0.point: no operating point 'narrow'; there are: wide",
        ),
        ('point = "wide"', 'point = "wide"\nperfect = true', "  line 32, policy.0.point: a perfect policy knows"),
        (
            "urgent = { sensitivity = 0.9, specificity = 0.7 }",
            "",
            "  line 26, operating_point.0.detects: operating point wide says nothing of urgent",
        ),
        (
            "urgent = { sensitivity = 0.9, specificity = 0.7 }",
            "urgent = { sensitivity = 0.9, specificity = 0.7 }\nnormal = { sensitivity = 0.9, specificity = 0.7 }",
            "  line 29, operating_point.0.detects.normal: normal is what no detector raises",
        ),
        (
            "specificity = 0.7",
            "specificity = 70",
            "  line 28, operating_point.0.detects.urgent.specificity: Input should be less than or equal to 1",
        ),
        ("weeks = 1", "weeks = 1\nweks = 2", "  line 39, run.weks: Extra inputs are not permitted"),
        ('name = "urgent"', 'name = "all"', "  line 11, urgency.1.name: classes of urgency need names of their own"),
        ('name = "urgent"', 'name = "not_assessed"', "  line 11, urgency.1.name: classes of urgency need names"),
        ('name = "urgent"', 'name = "x at y"', "  line 11, urgency.1.name: classes of urgency need names"),
        ("[run]", "[run]\nwarm_up_days = inf", "  line 38, run.warm_up_days: Input should be a finite number"),
        ("[arrivals]\nper_hour = 8.0", "arrivals = 3", "  line 1, arrivals: Input should be a valid dictionary"),
    ],
)
def test_a_fault_is_told_with_its_line_and_its_key(tmp_path: Path, was: str, becomes: str, expected: str):
    lines = refused(tmp_path, (was, becomes)).splitlines()
    assert any(line.startswith(expected) for line in lines), lines


def test_a_class_without_arrivals_is_refused(tmp_path: Path):
    told = refused(tmp_path, ("prevalence = 0.1", "prevalence = 0.0"), ("prevalence = 0.6", "prevalence = 0.7"))
    assert told == (
        "  line 6, urgency.0.prevalence: no study of critical arrives: its prevalence is 0; give it one, or leave the "
        "class out"
    )


def test_all_faults_are_told_at_once(tmp_path: Path):
    changes = (("urgent = 0.15", "urgent = 0.25"), ("urgent = 0.2\n", "urgent = 0.1\n"), ("normal = 240", "x = 240"))
    assert [line.split(",")[0] for line in refused(tmp_path, *changes).splitlines()] == [
        "  line 8",
        "  line 20",
        "  line 34",
    ]


def test_of_points_of_one_name_and_of_none_it_is_told(tmp_path: Path):
    second = '[[policy]]\nname = "by class"', '[[operating_point]]\nname = "wide"\n[operating_point.predicted]\n'
    told = refused(tmp_path, (second[0], f"{second[1]}critical = {{ critical = 1.0 }}\n\n{second[0]}"))
    assert "operating_point: operating points need names of their own: wide is there 2 times" in told
    assert "operating point wide says nothing of urgent, normal" in told
    empty = refused(tmp_path, ("[operating_point.detects]\ncritical = {", "[x]\ncritical = {"))
    assert "operating_point.0: operating point wide: give predicted or detects, and not both" in empty


def test_what_is_of_no_key_has_none(tmp_path: Path):
    told = refused(tmp_path, ("[arrivals]", "prevalence = 0.2\n[arrivals]"))
    assert told == "  give prevalence, reading and model, or [[urgency]], and not both"


def test_what_the_command_line_changed_has_no_line(tmp_path: Path):
    told = refused(tmp_path, run={"weeks": 0})
    assert told.startswith("  run.weeks: Input should be greater")
    assert "run: Input should be" in refused(
        tmp_path, ("[run]\nweeks = 1\nreplications = 2", ""), ("[arr", "run = 3\n[arr"), run={"weeks": 1}
    )


def test_the_command_tells_it_and_ends(tmp_path: Path):
    path = tmp_path / "room.toml"
    path.write_text(ROOM.replace("urgent = 0.2\n", "urgent = 0.3\n"))
    done = CliRunner().invoke(triage, ["simulate", str(path)])
    assert done.exit_code == 78
    assert "line 20, urgency.2.predicted" in done.output
    path.write_text(ROOM)
    good = CliRunner().invoke(triage, ["simulate", str(path)])
    assert good.exit_code == 0, good.output
    assert "missed critical at wide" in good.output
