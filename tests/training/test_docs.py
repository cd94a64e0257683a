"""docs/how-to/training.md: every command is there, and every command and change of a configuration in it holds."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from export.cli import OF_RUN
from export.cli import main as export
from training.cli import main
from training.config import BUILT_IN, load_config

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "training.md").read_text(encoding="utf-8")
PREPARATION = ("prepare", "join", "label-reports")


def shell_lines(program: str) -> list[list[str]]:
    """The words after ``program`` of each command in the page, loops and variables filled in."""
    joined = TEXT.replace("\\\n", " ")
    variables = dict(re.findall(r'^(\w+)="((?:[^"\\]|\\.)*)"$', joined, re.M))
    found = []
    for line in re.findall(rf"^\s*python -m {program} (.*)$", joined, re.M):
        for _ in range(2):
            line = re.sub(
                r"\$(small|recipe|curve|short|extra|appearance|style|own)\b", lambda match: variables[match[1]], line
            )
        found.append(shlex.split(line.replace("$net", "resnet18").replace("$seed", "10").replace("$kind", "gce")))
    return found


def test_every_command_is_documented() -> None:
    words = {line[0] for line in shell_lines("training")}
    plots = {line[1] for line in shell_lines("training") if line[0] == "figures"}
    assert words >= set(main.commands) - set(PREPARATION)
    group = main.commands["figures"]
    assert isinstance(group, click.Group)
    assert plots >= set(group.commands)


@pytest.mark.parametrize("line", shell_lines("training"), ids=" ".join)
def test_every_command_in_the_page_is_one_that_we_have(line: list[str]) -> None:
    name, *arguments = line
    if name in PREPARATION:
        return
    command = main.commands[name]
    if isinstance(command, click.Group):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("-")} <= known
    changes = [value for word, value in pairwise(arguments) if word == "--set"]
    if name in ("train", "cross-validate", "grid", "ablate", "learning-curve"):
        assert load_config(arguments[0], changes)


@pytest.mark.parametrize("line", shell_lines("export"), ids=" ".join)
def test_every_export_in_the_page_is_one_that_we_have(line: list[str]) -> None:
    known = {option for parameter in export.commands[OF_RUN].params for option in parameter.opts}
    assert {word for word in line if word.startswith("-")} <= known


def test_every_configuration_is_documented() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.M)) >= {path.stem for path in BUILT_IN.glob("*.toml")}
