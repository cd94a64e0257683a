"""Parts of the Debian package, checked without building it (`make acceptance-deb` does that)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from release.completion import bash_completion
from release.man_pages import man_pages
from release.systemd_units import units
from tests.release.conftest import ROOT
from triage.cli import triage as cli
from triage.errors import EXIT_CANNOT_START
from triage.settings.load import load, load_located
from triage.settings.schema import Settings

DEBIAN = ROOT / "release" / "debian"
SERVICES = sorted(name for name in units() if name.endswith(".service"))


@pytest.fixture(scope="module")
def unit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze: sudo apt-get install systemd")
    folder = tmp_path_factory.mktemp("units")
    for name, text in units().items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_is_exposed_little(unit_files: Path, name: str) -> None:
    checked = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=25", unit_files / name]
    done = subprocess.run(checked, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_units_are_understood(unit_files: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(unit_files.iterdir())], capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if str(unit_files) in line or "cxr-triage" in line]
    # What they start is not installed on the machine that builds.
    assert [line for line in said if "is not executable" not in line and "Failed to create" not in line] == []


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_person_has_to_put_right_is_not_started_again(name: str) -> None:
    assert f"\nRestartPreventExitStatus={EXIT_CANNOT_START}\n" in units()[name]
    assert "\nRestart=on-failure\n" in units()[name]


def test_every_process_has_a_unit_and_every_command_is_one_of_ours() -> None:
    started = [
        line.split()[1:] for text in units().values() for line in re.findall(r"^ExecStart=(.*triage .*)$", text, re.M)
    ]
    assert sorted(words[0] for words in started) == ["deliver", "listen", "reports", "sweep", "up", "web", "work"]
    for line in re.findall(r"^ExecStartPost=-\S+ (.*)$", "\n".join(units().values()), re.M):
        command, *arguments = line.split()
        cli.commands[command].make_context(command, arguments, parent=cli.make_context("triage", [line]))


def test_one_way_excludes_the_other() -> None:
    for name, text in units().items():
        other = "cxr-triage.service" if name != "cxr-triage.service" else "cxr-triage-processes.target"
        assert f"Conflicts={other}" in text


def test_the_settings_file_is_accepted_and_keeps_everything_in_one_place() -> None:
    settings = load_located(DEBIAN / "triage.toml", {}, Path("/")).settings
    places = [settings.spool.path, settings.redis.socket_path, settings.sign_in.users_file, settings.audit.path]
    assert all(str(place).startswith("/var/lib/cxr-triage/") for place in places)
    assert settings.models.path is None
    assert settings.listener.host == settings.web.host == "127.0.0.1"


def test_the_settings_that_it_shows_as_comments_exist(tmp_path: Path) -> None:
    text = (DEBIAN / "triage.toml").read_text()
    file = tmp_path / "triage.toml"
    file.write_text(re.sub(r"^# (?=[a-z_]+ = |\[\[)", "", text, flags=re.M))
    assert load(file, {}) != Settings()


def test_the_redis_of_the_units_is_where_the_settings_say() -> None:
    settings = load_located(DEBIAN / "triage.toml", {}, Path("/")).settings
    options = dict(
        line.split(maxsplit=1) for line in (DEBIAN / "redis.conf").read_text().splitlines() if line[0] != "#"
    )
    assert Path(options["unixsocket"]) == settings.redis.socket_path
    assert (options["port"], options["maxmemory-policy"], options["appendonly"]) == ("0", "noeviction", "yes")


def test_every_command_has_a_page_that_groff_reads_without_a_word(tmp_path: Path) -> None:
    pages = man_pages(cli, "triage", "0", 0)
    assert {"triage.1", *(f"triage-{name}.1" for name in cli.commands)} <= pages.keys()
    assert {"triage-user-add.1"} <= pages.keys()
    if shutil.which("groff") is None:
        pytest.skip("groff: sudo apt-get install groff-base")
    for name, page in pages.items():
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=page, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name
    text = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou"], input=pages["triage-send.1"], capture_output=True, text=True
    )
    assert "--called-ae" in text.stdout


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    script = tmp_path / "triage"
    script.write_text(bash_completion(cli))
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_TRIAGE_COMPLETE=bash_complete" in script.read_text()
    assert isinstance(cli, click.Group)


@pytest.mark.parametrize("name", ["postinst", "postrm", "triage.sh"])
def test_scripts_are_plain_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", DEBIAN / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
