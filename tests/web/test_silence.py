"""A silent installation over HTTP: everybody is told of it, and a reader finds no silent study."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import ADMIN, READER, quick_passwords, signed_in_web
from tests.support.studies import a_study
from triage.spool.silence import switch
from triage.spool.spool import Spool

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)


def silenced(spool: Spool) -> tuple[str, str]:
    """A study that is silent, and the name of its object."""
    study = a_study(spool)
    record = spool.decision(study)
    assert record is not None
    spool.write_decision(study, {**record, "silent": True})
    (path,) = spool.study_folder(study).glob("*.dcm")
    return study, path.stem


def test_a_reader_finds_no_silent_study_and_an_admin_does(redis_server: RedisServer, spool: Spool, tmp_path: Path):
    study, name = silenced(spool)
    of_study = f"/api/studies/{study}"
    looks = [f"/api/worklist/{study}", of_study, f"{of_study}/images/{name}", f"{of_study}/images/{name}/map"]
    acts = [(f"{of_study}/reading", {"read": True}), (f"{of_study}/label", {"label": True})]
    with signed_in_web(redis_server, spool, tmp_path) as home, home.ask(READER) as reader, home.ask(ADMIN) as admin:
        assert [reader.get(each).status_code for each in looks] == [404] * 4
        assert [reader.post(where, json=what).status_code for where, what in acts] == [404] * 2
        assert not (spool.study_folder(study) / "reading.jsonl").exists()
        assert [admin.get(each).status_code for each in looks[:3]] == [200] * 3
        assert admin.get("/workitems").status_code == 204  # none


def test_readiness_and_status_say_that_it_is_silent(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    with signed_in_web(redis_server, spool, tmp_path) as home, home.ask(READER) as ask:
        assert (ask.get("/readyz").text, ask.get("/api/status").json()["silent_since"]) == ("ready\n", None)
        switch(spool, True, 0.0)
        assert ask.get("/readyz").text == (
            "ready; silent since 1970-01-01: new studies are neither listed nor delivered\n"
        )
        assert ask.get("/api/status").json()["silent_since"] == "1970-01-01T00:00:00.000Z"
        switch(spool, False, 0.0)
        assert ask.get("/readyz").text == "ready\n"
