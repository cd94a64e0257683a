"""docs/how-to/cohorts.md names every cohort, every command and every option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from training.cli import main
from training.prepare.registry import COHORTS

PAGE = Path("docs/how-to/cohorts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["prepare", "join", "label-reports"])
def test_every_command_is_documented(name: str) -> None:
    assert f"python -m training {name}" in PAGE
    assert name in main.commands


@pytest.mark.parametrize("name", sorted(COHORTS))
def test_every_cohort_has_a_section(name: str) -> None:
    assert f"\n### `{name}`\n" in PAGE
    assert f"\n| `{name}` |" in PAGE


def test_every_option_is_documented() -> None:
    prepare = main.commands["prepare"]
    assert isinstance(prepare, click.Group)
    commands = [*prepare.commands.values(), main.commands["join"], main.commands["label-reports"]]
    options = {text for command in commands for parameter in command.params for text in parameter.opts}
    assert {text for text in options if text.startswith("--") and text not in PAGE} == set()
