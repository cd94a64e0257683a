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
    more.write_text("[log]\nlevel = 'ERROR'\n")
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
