"""`triage backup` keeps the settings wherever they were found."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from triage.cli import triage
from triage.spool.spool import Spool


@pytest.mark.parametrize("found", ["variable", "working directory"])
def test_every_settings_file_is_in_it(found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, more = tmp_path / "triage.toml", tmp_path / "conf.d/10.toml"
    more.parent.mkdir()
    config.write_text('[data]\npath = "state"\n')
    more.write_text("[log]\nlevel = 'ERROR'\n[models]\noperating_points = 'points.toml'\n")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/points.toml").write_text("points_schema = 1\npoints = []\n")
    Spool.open(tmp_path / "state/spool")
    if found == "variable":
        monkeypatch.setenv("TRIAGE_CONFIG", str(config))
    else:
        monkeypatch.chdir(tmp_path)
    for command in (["backup", f"{tmp_path}/kept"], ["restore", f"{tmp_path}/kept", f"{tmp_path}/new"]):
        done = CliRunner().invoke(triage, command)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "new/triage.toml").read_text() == config.read_text()
    assert (tmp_path / "new/conf.d/10.toml").read_text() == more.read_text()
    assert (tmp_path / "new/operating-points.toml").read_text().startswith("points_schema = 1")


def test_it_names_the_certificates_keys_and_secrets_that_are_not_in_it(tmp_path: Path) -> None:
    for name in ("password", "secret", "webhook", "a.pem", "unused.pem"):
        (tmp_path / name).write_text("0123456789abcdef")
    Spool.open(tmp_path / "state/spool")
    config = tmp_path / "triage.toml"
    config.write_text(
        f'[data]\npath = "state"\n[redis]\npassword_file = "{tmp_path}/password"\n'
        f'[oidc]\nclient_secret_file = "{tmp_path}/secret"\n'
        f'[[channels.hl7]]\nname = "ris"\nhost = "ris"\nport = 1\ntls = true\ntls_ca_file = "{tmp_path}/a.pem"\n'
        f'[[channels.webhook]]\nname = "hook"\nurl = "https://a.example/"\nsecret_file = "{tmp_path}/webhook"\n'
    )
    (tmp_path / "state/users.json").write_text("{}")
    done = CliRunner().invoke(triage, ["--config", str(config), "backup", f"{tmp_path}/kept"])
    assert done.exit_code == 0, done.output
    (said,) = (line for line in done.output.splitlines() if line.startswith("not in it"))
    named = said.partition("apart: ")[2].split(", ")
    assert named == [f"{tmp_path}/{name}" for name in ("a.pem", "password", "secret", "webhook")]
