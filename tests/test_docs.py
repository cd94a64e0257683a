"""What the documentation says of commands, settings, variables and files is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from triage.cli import triage as cli
from triage.settings.fields import destination_type
from triage.settings.load import NOT_SETTINGS, load, variables
from triage.settings.schema import Settings
from triage.settings.sources.variables import OF_DESTINATIONS, secret_variables

ROOT = Path(__file__).parents[1]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
SHELVES = ("", "how-to", "explanation", "reference")
PAGES = [
    *TOP,
    *(page for shelf in SHELVES for page in sorted((ROOT / "docs" / shelf).glob("*.md"))),
    ROOT / "deploy/README.md",
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
AE_TITLES = {"TRIAGE_SEND"}
COMMANDS = TEXTS["docs/reference/commands.md"]
FILE_NAME = re.compile(r"(?!-)[\w./-]+\.(?:toml|csv|json|dcm|png|jpeg)")
COMING = {"validate"}
"""Commands that pages speak of before they are there; their lines are checked from the day they are."""


def blocks(text: str, *languages: str) -> list[str]:
    """The contents of the fenced code blocks in one of ``languages``."""
    return [
        body for language, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S) if language in languages
    ]


def lines_of_triage() -> list[tuple[str, str]]:
    """Every `triage …` that somebody could type, with its page: from code blocks, and inline."""
    found = []
    for page, text in TEXTS.items():
        typed = [line.strip() for body in blocks(text, "sh", "bash", "") for line in body.splitlines()]
        typed += re.findall(r"(?<!`)`((?:\.venv/bin/)?triage [^`\n]*)`", text)
        found += [(page, line.removeprefix(".venv/bin/")) for line in typed]
    return [(page, line) for page, line in found if line.startswith("triage ") and line != "triage …"]


def words(line: str) -> list[str]:
    """The arguments of a line; "…" stands for whatever else one may write there."""
    typed = re.split(r" [>|] ", line)[0]  # what the shell does with the output is its own business
    kept = [word for word in shlex.split(typed, comments=True)[1:] if word != "…"]
    return [word.removesuffix("…") for word in kept]


def commands_below(group: click.Group, name: str = "") -> list[tuple[str, click.Command]]:
    """Every command with its whole name, those of groups too."""
    found: list[tuple[str, click.Command]] = []
    for each, command in group.commands.items():
        whole = f"{name} {each}".strip()
        found += commands_below(command, whole) if isinstance(command, click.Group) else [(whole, command)]
    return found


def test_there_is_something_to_check() -> None:
    assert len(lines_of_triage()) > 20
    assert {"README.md", "docs/reference/commands.md"} <= {page for page, _ in lines_of_triage()}


@pytest.mark.parametrize(("page", "line"), lines_of_triage())
def test_every_line_can_be_typed(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = words(line)
    if "COMMAND" in arguments:
        arguments[arguments.index("COMMAND")] = "up"
    for word in arguments:
        if word.isupper():  # a placeholder for a file or folder, which must exist
            Path(word).touch()
        elif FILE_NAME.fullmatch(word):
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            Path(word).touch()
    if arguments[0] in COMING - cli.commands.keys():
        return
    if arguments == ["--version"]:
        assert "--version" in {option for each in cli.params for option in each.opts}
        return
    position = next((number for number, word in enumerate(arguments) if word in cli.commands), None)
    assert position is not None, "no such command"
    with cli.make_context("triage", list(arguments)) as context:
        try:
            cli.commands[arguments[position]].make_context(arguments[position], arguments[position + 1 :], context)
        except click.exceptions.NoArgsIsHelpError:  # the name of a group of commands
            assert isinstance(cli.commands[arguments[position]], click.Group)
        except click.exceptions.Exit as end:  # --help
            assert end.exit_code == 0
        except click.exceptions.MissingParameter:  # a sentence may leave out what a command needs
            assert not arguments[position + 1 :] or "--" in line


def test_every_command_is_documented_and_every_option_on_its_page_or_another() -> None:
    everything = "\n".join(TEXTS.values())
    for name, command in commands_below(cli):
        assert re.search(rf"`triage {name}\b", COMMANDS), name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in everything, (name, parameter.opts)


def test_every_setting_is_documented_and_every_one_named_exists() -> None:
    reference = TEXTS["docs/reference/settings.md"]
    known = {f"{section}.{key}" for section, key in variables().values()}
    assert all(f"`{setting}`" in reference for setting in known)
    sections = "|".join(Settings.model_fields)
    for page, text in TEXTS.items():
        named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)(?: = [^`]+)?`", text))
        if page == "docs/how-to/training.md":  # training has a section of this name, too
            named = {each for each in named if not each.startswith("data.")}
        assert {each for each in named if not FILE_NAME.fullmatch(each) and not each.endswith(".jsonl")} <= known, page


def test_every_variable_named_exists() -> None:
    for page, text in TEXTS.items():
        named = set(re.findall(r"\bTRIAGE_[A-Z_]+\b", text))
        of_sections = {each for each in named if not each.startswith(OF_DESTINATIONS)}
        assert of_sections <= variables().keys() | secret_variables().keys() | NOT_SETTINGS | AE_TITLES, page
        for each in named - of_sections - {f"{OF_DESTINATIONS}KIND__NAME__KEY"}:
            kind, _, key = each.removeprefix(OF_DESTINATIONS).lower().split("__")
            model = destination_type(kind)
            assert key.removesuffix("_file") in model.model_fields, (page, each)


@pytest.mark.parametrize("text", [body for page in TEXTS.values() for body in blocks(page, "toml")])
def test_every_example_of_a_settings_file_is_accepted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    file.write_text(text)
    assert load(file, {}) != Settings()


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page, text in TEXTS.items():
        named = re.findall(r"`make ([a-z-]+)", text)
        named += [
            line.split()[1] for body in blocks(text, "sh") for line in body.splitlines() if line.startswith("make ")
        ]
        assert set(named) <= targets, page


def test_every_link_leads_somewhere() -> None:
    for page, text in TEXTS.items():
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in link:
                assert ((ROOT / page).parent / link).exists(), (page, link)


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_of_ours_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:triage|training|export|tests|deploy|requirements)/[\w./-]+)`", TEXTS[page])
    # What a site makes for itself git ignores.
    made = tuple(line[1:] for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/deploy/"))
    assert [name for name in named if not (ROOT / name).exists() and not f"{name}/".startswith(made)] == []


def named_tests(text: str) -> list[tuple[str, str]]:
    """The tests that a text names as pytest does: file, function."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)


@pytest.mark.parametrize("page", TEXTS)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    files = {file: (ROOT / file).read_text() for file, _ in named_tests(TEXTS[page])}
    missing = [each for each in named_tests(TEXTS[page]) if not re.search(rf"^def {each[1]}\(", files[each[0]], re.M)]
    assert missing == []


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/explanation/hazards.md"])
def test_each_threat_and_hazard_has_the_test_behind_it(page: str) -> None:
    table = TEXTS[page][re.search(r"^\|.*\| test \|$", TEXTS[page], re.M).start() :]  # type: ignore[union-attr]
    rows = table.split("\n\n")[0].splitlines()[2:]
    assert len(rows) > 30
    assert [row for row in rows if not named_tests(row.split(" | ")[-1])] == []


def test_the_architecture_names_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "triage").glob("*/__init__.py")}
    assert [room for room in sorted(rooms) if f"`{room}`" not in TEXTS["docs/explanation/architecture.md"]] == []
