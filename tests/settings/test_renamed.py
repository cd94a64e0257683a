"""Old spellings: understood with a warning, and never together with the new one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from triage.cli import Program
from triage.cli import triage as cli
from triage.settings import renamed
from triage.settings.load import SettingsError, load, variables
from triage.settings.renamed import COMMANDS, SETTINGS

TABLE = {"listener.dicom_port": "listener.port", "site.label": "audit.source"}


def test_new_spellings_exist_and_old_ones_do_not() -> None:
    known = {f"{section}.{key}" for section, key in variables().values()}
    assert set(SETTINGS.values()) <= known
    assert not SETTINGS.keys() & known
    assert set(COMMANDS.values()) <= cli.commands.keys()
    assert not COMMANDS.keys() & cli.commands.keys()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed.in_new_spelling, "__defaults__", (TABLE,))
    monkeypatch.setattr(renamed.variable, "__defaults__", (TABLE,))


@pytest.mark.usefixtures("table")
def test_an_old_setting_works_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "triage.toml"
    file.write_text('[listener]\ndicom_port = 1104\nhost = "127.0.0.1"\n[site]\nlabel = "here"\n')
    settings = load(file, {})
    assert (settings.listener.port, settings.listener.host, settings.audit.source) == (1104, "127.0.0.1", "here")
    assert "listener.dicom_port is called listener.port now" in caplog.text
    assert "site.label is called audit.source now" in caplog.text
    assert load(None, {"TRIAGE_LISTENER_DICOM_PORT": "1105"}).listener.port == 1105
    assert "TRIAGE_LISTENER_DICOM_PORT is called TRIAGE_LISTENER_PORT now" in caplog.text


@pytest.mark.usefixtures("table")
def test_both_spellings_are_refused_because_one_of_them_would_be_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    file.write_text("[listener]\ndicom_port = 1104\nport = 1105\n")
    with pytest.raises(SettingsError, match=r"both are given: remove listener\.dicom_port"):
        load(file, {})
    with pytest.raises(SettingsError, match="TRIAGE_LISTENER_DICOM_PORT: remove"):
        load(None, {"TRIAGE_LISTENER_DICOM_PORT": "1", "TRIAGE_LISTENER_PORT": "2"})


@pytest.mark.usefixtures("table")
def test_what_is_no_old_spelling_stays_an_error(tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    file.write_text('[site]\nlabel = "here"\nlabels = "there"\n')
    with pytest.raises(SettingsError, match="site"):
        load(file, {})


def test_an_old_command_works_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "renamed", {"tidy": "sweep"})
    done = CliRunner().invoke(cli, ["tidy", "--help"])
    assert done.exit_code == 0
    assert "`triage tidy` is called `triage sweep` now" in done.stderr
    assert "Reconcile the spool" in done.stdout
