"""The generated parts of docs/reference are those of the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from triage.channels.registry import channel_kinds
from triage.cli import triage as cli
from triage.commands import registered_commands
from triage.decision.reasons import Reason
from triage.reference.every_page import pages, parts_of
from triage.reference.marked_page import names_of, renewed
from triage.reference.schemas import FILES, schema

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", pages())
def test_a_page_has_every_generated_part_as_the_code_makes_it(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert set(names_of(text)) == set(parts_of(name))
    assert renewed(text, parts_of(name)) == text, "run: make reference"


def test_the_program_renews_every_page(tmp_path: Path) -> None:
    for name in pages():
        text = (FOLDER / name).read_text(encoding="utf-8")
        emptied = renewed(text, dict.fromkeys(names_of(text), ""))
        assert emptied != text
        (tmp_path / name).write_text(emptied, encoding="utf-8")
    program = [sys.executable, "-m", "triage.reference", str(tmp_path)]
    subprocess.run(program, check=True, timeout=120)
    for name in (*pages(), *FILES):
        assert (tmp_path / name).read_text(encoding="utf-8") == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_published_schema_is_that_of_the_code(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == schema(name), "run: make reference"


def test_a_part_that_is_unknown_is_an_error() -> None:
    with pytest.raises(KeyError):
        renewed("<!-- table: unknown -->\n<!-- end -->\n", {"reasons": ""})


def test_every_command_file_is_registered_by_being_there() -> None:
    folder = Path(__file__).parents[2] / "triage" / "commands"
    files = {each.stem for each in folder.glob("*.py")} - {"__init__", "base"}
    files |= {each.parent.name for each in folder.glob("*/__init__.py")} - {"engines", "output"}
    assert {each.command.name for each in registered_commands()} == {each.replace("_", "-") for each in files}
    assert set(cli.commands) == {each.command.name for each in registered_commands()}


def test_help_lists_every_command_under_a_heading() -> None:
    text = cli.get_help(click.Context(cli, info_name="triage"))
    assert all(f"  {name} " in text for name in cli.commands)


def test_every_reason_has_a_meaning_that_says_what_to_do() -> None:
    text = (FOLDER / "reasons.md").read_text(encoding="utf-8")
    for reason in Reason:
        assert f"| `{reason}` | {reason.meaning} |" in text
        assert reason.meaning.endswith(".")


def test_a_channel_is_registered_by_its_folder(tmp_path: Path) -> None:
    """A folder with a kind.py, and nothing else, makes a section of the settings, a reference and a channel."""
    copy = tmp_path / "triage"
    root = Path(__file__).parents[2]
    shutil.copytree(root / "triage", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "channels/pager").mkdir()
    (copy / "channels/pager/__init__.py").write_text('"""A pager."""\n')
    (copy / "channels/pager/kind.py").write_text(
        "from triage.channels.kind import ChannelKind\n"
        "from triage.channels.settings import Destination\n"
        "class PagerDestination(Destination):\n"
        "    number: str\n"
        "KIND = ChannelKind('pager', 'Pages.', PagerDestination, lambda settings, _: settings.number)\n"
    )
    program = (
        "from triage.settings.schema import Settings\n"
        "from triage.channels.registry import channel_of\n"
        "from triage.reference.channels import channels\n"
        "settings = Settings.model_validate({'channels': {'pager': [{'name': 'on-call', 'number': '4711'}]}})\n"
        "print(*map(channel_of, settings.channels.enabled()), '[[channels.pager]]' in channels()['channel-kinds'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.stdout.split() == ["4711", "True"], ran.stderr


def test_kinds_are_those_of_the_folders() -> None:
    folder = Path(__file__).parents[2] / "triage" / "channels"
    assert {kind.name for kind in channel_kinds()} == {each.parent.name for each in folder.glob("*/kind.py")}
