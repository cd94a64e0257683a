"""The command line as a whole: where the code of each command is, and what `triage --help` waits for."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from triage.cli import triage

HEAVY = {"numpy", "onnxruntime", "pydicom", "pynetdicom", "redis", "starlette", "triage.spool.spool"}


@pytest.mark.parametrize("name", sorted(triage.commands))
def test_a_command_is_in_the_file_of_its_name(name: str) -> None:
    command = triage.commands[name]
    file = f"triage.commands.{name.replace('-', '_')}"
    below = command.commands.values() if isinstance(command, click.Group) else []
    modules = {each.callback.__module__ for each in (command, *below) if each.callback}
    assert modules == {file} or all(each == file or each.rpartition(".")[0] == file for each in modules)


def test_help_waits_for_nothing_that_only_a_command_needs() -> None:
    code = "import sys, triage.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not HEAVY & set(done.stdout.split())
