"""Installed plug-ins are not loaded; those that the settings name are, if they are what the settings name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugins import importable, install, install_example
from triage.plugins.errors import PluginError
from triage.plugins.installed import InstalledPlugin, PluginGroup, find_enabled, installed_plugins
from triage.plugins.load import load_plugin
from triage.plugins.statement import parse_statement

EITHER = "cxr-triage-example==1.0:either"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    with importable(folder):
        yield folder


def find(*statements: str) -> tuple[InstalledPlugin, ...]:
    return find_enabled(map(parse_statement, statements))


def rule(site: Path, text: str, **changes: str) -> InstalledPlugin:
    """A plug-in whose module is ``text``, found."""
    install(site, {"odd_plugin.py": text}, {"rule": {"odd": "odd_plugin:rule"}}, **changes)
    (found,) = find(f"odd-plugin=={changes.get('version', '1.0')}:odd")
    return found


def test_the_example_is_found_by_its_name_and_loaded(site: Path) -> None:
    install_example(site)
    found = find("CXR_Triage.example==1.0:either", "cxr-triage-example==1.0:brightness")
    assert [(each.key, each.group) for each in found] == [
        ("cxr-triage-example:either", PluginGroup.RULE),
        ("cxr-triage-example:brightness", PluginGroup.MODEL_LOADER),
    ]
    assert "cxr_triage_example" not in sys.modules
    assert load_plugin(found[0]).target({"a": 0.5, "b": 0.5}) == 0.75
    (again,) = find(found[0].statement)
    assert again == found[0]
    assert {each.key.rpartition(":")[2] for each in installed_plugins()} >= {"either", "brightness", "folder"}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("cxr-triage-example==1.1:either", "states cxr-triage-example 1.1, and 1.0 is installed"),
        (f"{EITHER}#sha256={'0' * 64}", "are not those that were accepted"),
        ("cxr-triage-example==1.0:neither", "has no plug-in neither; it has: brightness, either, folder"),
        ("elsewhere==1.0:either", "no distribution elsewhere is installed"),
    ],
)
def test_another_than_the_stated_one_is_refused(site: Path, statement: str, said: str) -> None:
    install_example(site)
    with pytest.raises(PluginError, match=said):
        find(statement)


@pytest.mark.parametrize(
    "statement", ["example:either", "example==1.0", "==1.0:x", "example==1.0:X y", f"{EITHER}#md5=0"]
)
def test_a_statement_has_distribution_version_and_name(statement: str) -> None:
    with pytest.raises(ValueError, match="is no DIST==VERSION:NAME"):
        parse_statement(statement)


def test_two_of_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    install_example(site)
    install(site, {"odd_plugin.py": ""}, {"channel": {"either": "odd_plugin:x"}})
    with pytest.raises(PluginError, match="cxr-triage-example:either and odd-plugin:either are of one name"):
        find(EITHER, "odd-plugin==1.0:either")
    with pytest.raises(PluginError, match="names cxr-triage-example:either twice"):
        find(EITHER, EITHER)
    install(site, {"two.py": ""}, {"rule": {"one": "two:a"}, "channel": {"one": "two:b"}}, name="two")
    with pytest.raises(PluginError, match="two:one is the name of 2 entry points"):
        find("two==1.0:one")
    other = tmp_path / "other"
    install_example(other, version="2.0")
    with importable(other), pytest.raises(PluginError, match="cxr-triage-example is installed twice"):
        find(EITHER)


def test_the_digest_is_of_the_files_and_not_of_the_place(site: Path, tmp_path: Path) -> None:
    install_example(site)
    (here,) = find(EITHER)
    with importable(site):
        load_plugin(here)  # which compiles
    assert find(EITHER) == (here,)
    (site / "cxr_triage_example" / "rule.py").write_text("def either(scores): return 0.0\n")
    with pytest.raises(PluginError, match=r"rule.py is not the file that was installed"):
        find(EITHER)
    (site / "cxr_triage_example" / "rule.py").unlink()
    with pytest.raises(PluginError, match=r"rule.py cannot be read"):
        find(EITHER)
    assert "either" not in {each.name for each in installed_plugins()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no licence')", "raises RuntimeError when it is imported: no licence"),
        ("raise SystemExit(0)", r"calls for the end of the process \(SystemExit\)"),
        ("import not_there", "raises ModuleNotFoundError"),
        ("x = 1", "raises AttributeError"),
        ("while True: pass", "did not end within 0.3 s"),
    ],
)
def test_an_import_that_fails_or_never_ends_is_an_error(site: Path, text: str, said: str) -> None:
    if "while" in text:
        text = "import time\nfor _ in range(40): time.sleep(0.05)\n"  # ends after the test, for the test's sake
    with pytest.raises(PluginError, match=said):
        load_plugin(rule(site, text), seconds=0.3)


def test_code_that_the_digest_does_not_cover_is_not_loaded(site: Path, tmp_path: Path) -> None:
    found = rule(site, "def rule(scores): return 0.0\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "odd_plugin.py").write_text("raise RuntimeError('ran')\n")
    with importable(other), pytest.raises(PluginError, match="is no file of its distribution"):
        load_plugin(found)
    install(
        site, {"wide/__init__.py": "import wide.late\nrule = print\n"}, {"rule": {"wide": "wide:rule"}}, name="wide"
    )
    (site / "wide" / "late.py").write_text("")  # in the package, and in no RECORD
    with pytest.raises(PluginError, match=r"wide.late is .*late.py, which is no file"):
        load_plugin(find("wide==1.0:wide")[0])


def test_an_editable_install_is_refused(site: Path) -> None:
    install(site, {"__editable__.pth": ""}, {"rule": {"odd": "elsewhere_plugin:rule"}})
    with pytest.raises(PluginError, match=r"there is no module elsewhere_plugin; .*install it as a wheel"):
        load_plugin(find("odd-plugin==1.0:odd")[0])
