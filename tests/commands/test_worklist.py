"""`triage worklist` says why a list is short."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.redis_server import RedisServer
from triage.cli import triage
from triage.spool.spool import Spool


def test_it_says_that_new_studies_are_silent(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_REDIS_URL", redis_server.url)
    monkeypatch.setenv("TRIAGE_SPOOL_PATH", str(spool.root))
    monkeypatch.chdir(tmp_path)
    heard = CliRunner().invoke(triage, ["worklist"])
    assert (heard.exit_code, "silent" in heard.output) == (0, False), heard.output
    (spool.root / "control" / "silent.json").write_text("{")  # as its worker leaves it, or whoever damaged it
    for arguments in (["worklist"], ["worklist", "--json"]):
        said = CliRunner().invoke(triage, arguments)
        assert "neither listed nor delivered" in said.stderr
        assert "silent" not in said.stdout
