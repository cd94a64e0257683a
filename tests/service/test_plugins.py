"""Plug-ins of a service: named by its settings, in the log and the audit trail, shown by its commands."""

from __future__ import annotations

import base64
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.scoring.test_plugins import write_plugin_model
from tests.support import audit_schema
from tests.support.model_folders import write_model
from tests.support.plugins import EXAMPLE, importable, install, install_example
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive, roles
from tests.support.wait import wait_for
from triage.cli import triage
from triage.errors import StartError
from triage.plugins.installed import find_enabled
from triage.plugins.statement import parse_statement
from triage.service.check.finding import Level
from triage.service.check.plugins import check_plugins
from triage.service.models import load_sessions, policy_of
from triage.service.plugins import announce_plugins
from triage.settings.load import SettingsError, load
from triage.settings.schema import Settings
from triage.settings.sections.plugins import PluginSettings

LOADER, RULE = "cxr-triage-example==1.0:brightness", "cxr-triage-example==1.0:either"
FOLDER = "cxr-triage-example==1.0:folder"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    install_example(tmp_path / "site")
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def settings(tmp_path: Path, *enabled: str, **more: str) -> Settings:
    values = {"models_path": str(tmp_path / "models"), "spool_path": str(tmp_path / "spool"), **more}
    named = {f"TRIAGE_{key.upper()}": value for key, value in values.items()}
    return load(None, {**named, "TRIAGE_PLUGINS_ENABLED": ",".join(enabled)})


def test_nothing_is_loaded_because_it_is_installed(site: Path, tmp_path: Path) -> None:
    write_plugin_model(tmp_path / "models", "theirs", "cxr-triage-example:brightness")
    with pytest.raises(StartError, match=r"theirs is loaded by the plug-in .*, which the settings do not enable"):
        load_sessions(settings(tmp_path))
    assert policy_of(settings(tmp_path), {}).findings.rules == {}
    with pytest.raises(SettingsError, match=r"plugins.enabled.*is no DIST==VERSION:NAME"):
        settings(tmp_path, "cxr-triage-example:brightness")


def test_models_and_rules_of_the_settings_are_loaded(site: Path, tmp_path: Path) -> None:
    write_plugin_model(tmp_path / "models", "theirs", "cxr-triage-example:brightness")
    in_force = settings(tmp_path, LOADER, RULE)
    (session,) = load_sessions(in_force).values()
    assert session.provider == "plugin"
    (rule,) = policy_of(in_force, {"theirs": session.card}).findings.rules.values()
    assert rule({"a": 0.5, "b": 0.5}) == 0.75


def test_one_that_never_ends_to_load_leaves_the_others(site: Path, tmp_path: Path) -> None:
    hangs = "import time\ndef load(weights, card):\n    time.sleep(600)\n"
    install(site, {"odd_plugin.py": hangs}, {"loader": {"hangs": "odd_plugin:load"}})
    write_plugin_model(tmp_path / "models", "theirs", "odd-plugin:hangs", age_from=1, age_below=5)
    write_model(tmp_path / "models", "own")
    found = load_sessions(settings(tmp_path, "odd-plugin==1.0:hangs", worker_load_timeout_s="4"))
    assert {name: each.provider for name, each in found.items()} == {"own": "CPUExecutionProvider", "theirs": "none"}


def test_version_digest_and_place_are_in_the_log_and_the_audit_trail(
    site: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail = tmp_path / "audit" / "audit.xml"
    audited = {"audit_always": "true", "audit_path": str(trail)}
    with caplog.at_level(logging.INFO):
        announce_plugins("work", settings(tmp_path, LOADER, RULE, **audited))
    lines = trail.read_text().splitlines()
    plugins = find_enabled(map(parse_statement, (LOADER, RULE)))
    for each, line in zip(plugins, lines, strict=True):
        audit_schema.checked(line)
        (encoded,) = re.findall(r'ParticipantObjectDetail type="[^"]*" value="([^"]*)"', line)
        assert base64.b64decode(encoded).decode() == f"in use: {each}"
        for said in (each.key, "version 1.0", each.digest, str(site)):
            assert said in str(each) and said in caplog.text
    trail.parent.chmod(0o500)
    try:
        if os.geteuid():
            trail.chmod(0o400)
            with pytest.raises(StartError, match="they are not loaded"):
                announce_plugins("work", settings(tmp_path, LOADER, **audited))
    finally:
        trail.parent.chmod(0o700)


def test_check_names_what_is_loaded_and_what_is_only_installed(site: Path) -> None:
    found = {each.subject: each for each in check_plugins(PluginSettings(enabled=(RULE, LOADER)))}
    assert (
        "combination rule cxr-triage-example:either, version 1.0" in found["plug-in cxr-triage-example:either"].finding
    )
    installed = found["plug-in cxr-triage-example:folder"].finding
    assert installed.startswith("installed, not loaded; plugins.enabled would name it cxr-triage-example==1.0:folder#")
    install(site, {"odd_plugin.py": "KIND = 3"}, {"rule": {"odd": "odd_plugin:KIND"}})
    by_subject = {each.subject: each for each in check_plugins(PluginSettings(enabled=("odd-plugin==1.0:odd", RULE)))}
    odd = by_subject["plug-in odd-plugin:odd"]
    assert odd.level is Level.FAILED and "registers a int as a combination rule, which cannot be called" in odd.finding
    assert by_subject["plug-in cxr-triage-example:either"].level is Level.OK
    (first, *_) = check_plugins(PluginSettings(enabled=("gone==1.0:odd",)))
    assert first.level is Level.FAILED and "no distribution gone is installed" in first.finding


def test_models_list_shows_where_a_model_is_loaded_from(site: Path, tmp_path: Path) -> None:
    write_plugin_model(tmp_path / "models", "theirs", "cxr-triage-example:brightness")
    environment = {
        "TRIAGE_MODELS_PATH": str(tmp_path / "models"),
        "TRIAGE_SPOOL_PATH": str(tmp_path / "spool"),
        "TRIAGE_PLUGINS_ENABLED": LOADER,
        "COLUMNS": "300",
    }
    ran = CliRunner().invoke(triage, ["models", "list"], env=environment)
    assert ran.exit_code == 0, ran.output
    assert "in service; loaded by cxr-triage-example:brightness" in ran.output
    assert "plug-in: model loader cxr-triage-example:brightness, version 1.0, sha256 " in ran.output


def test_a_service_with_what_pip_installed_scores_and_never_says_normal(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    source = shutil.copytree(EXAMPLE, tmp_path / "source")
    subprocess.run([*command, "--target", str(tmp_path / "site"), str(source)], check=True, timeout=120)
    write_plugin_model(tmp_path / "models", "theirs", "cxr-triage-example:brightness")
    out = tmp_path / "out"
    out.mkdir()
    config = tmp_path / "triage.toml"
    config.write_text(
        f'[plugins]\nenabled = ["{LOADER}", "{FOLDER}"]\n'
        f'[[channels.plugin]]\nname = "files"\nplugin = "cxr-triage-example:folder"\noptions = ["path={out}"]\n'
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("TRIAGE_CONFIG", str(config))
        with roles(tmp_path, redis_server.url, tmp_path / "models", config=str(config)) as running:
            for role in ("work", "sweep", "deliver"):
                running.start(role)
            chest = receive(running.spool, a_chest(1))
            decided = wait_for(lambda: running.spool.decision(chest.study_instance_uid), "the chest to be decided")
            assert (decided["tag"], decided["reasons"]) == ("NOT_ASSESSED", ["plugin_alone"])
            (written,) = wait_for(lambda: list(out.glob("*.json")), "the channel to write it")
            assert chest.study_instance_uid in written.read_text()
