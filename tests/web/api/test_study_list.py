"""The page's list over real sockets: patients, orders, preferences of each user, and that no patient is in Redis."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from tests.support.signed_in_web import ADMIN, READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.studies import a_study
from tests.support.worklist_page import served
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.queue.score_queue import ScoreQueue
from triage.spool.spool import Spool
from triage.web.api.preferences import FOLDER
from triage.web.api.result_watch import STOPPED_AFTER_S, Stopped, stopped_by
from triage.web.api.sources import Sources

__all__ = ["quick_passwords"]  # a fixture

SECRETS = {
    "PatientName": "QUINCEY^SECRETIVE",
    "PatientID": "SECRET-4711",
    "PatientBirthDate": "19310229",
    "ReferringPhysicianName": "SEWARD^SECRETIVE",
}


def listed(sources: Sources, **more: object) -> str:
    """Add a study to spool and list."""
    uid = a_study(sources.spool, **more)  # type: ignore[arg-type]
    record = sources.spool.decision(uid)
    assert record is not None
    sources.worklist.put(decision_from(record))
    return uid


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[httpx.Client, Sources]]:
    with served(redis_server, spool, waiting_cap_s=3600.0) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
            yield ask, sources


def rows(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["study_instance_uid"] for each in answer.json()["entries"]]


def test_a_row_has_what_is_known_of_patient_and_image(place: tuple[httpx.Client, Sources]) -> None:
    ask, sources = place
    acquired = {"AcquisitionDateTime": "20260102030405+0000", "CurrentPatientLocation": "ICU", "PatientSex": "F"}
    late = time.time() - 4000
    uid = listed(sources, attributes={**SECRETS, **acquired, "StudyDescription": "Chest"}, received_at=late, view="AP")
    found = ask.post("/api/list", json={}).json()
    (row,) = found["entries"]
    wanted = {
        "study_instance_uid": uid,
        "patient_name": "QUINCEY^SECRETIVE",
        "patient_id": "SECRET-4711",
        "birth_date": "19310229",
        "sex": "F",
        "view": "AP",
        "study_description": "Chest",
        "acquired_at": "2026-01-02T03:04:05.000Z",
        "location": "ICU",
        "past_cap": True,
        "priority": "HIGH",
    }
    assert row | wanted == row
    assert (found["matching"], found["first"], found["outside"]) == (
        1,
        {"high": 1, "past_cap": 0},
        {"high": 0, "past_cap": 0},
    )


def test_no_patient_is_in_redis_whatever_the_list_is_asked_for(
    redis_server: RedisServer, place: tuple[httpx.Client, Sources], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ask, sources = place
    uids = [listed(sources, attributes=SECRETS), listed(sources, attributes=SECRETS, tag=Tag.NORMAL)]
    for query in (
        {},
        {"text": "quincey"},
        {"sort": {"column": "patient_name"}, "limit": 1},
        {"sort": {"column": "patient_id", "descending": True}},
        {"filter": {"views": ["PA"]}},
        {"show": "read"},
    ):
        assert ask.post("/api/list", json=query).status_code == 200
    ask.post("/api/preferences", json={"sort": {"column": "patient_name"}})
    ask.post(f"/api/studies/{uids[0]}/reading", json={"read": True})
    assert rows(ask.post("/api/list", json={"show": "read", "text": "secret-4711"})) == [uids[0]]
    ScoreQueue(sources.redis).depths()
    client = redis_server.client()
    client.bgrewriteaof()
    client.save()
    files = [path for path in redis_server.folder.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert uids[1].encode() in kept
    for place_of_it in (kept, caplog.text.encode(), ask.get("/metrics").content):
        for secret in (b"quincey", b"secret", b"19310229", b"seward"):
            assert secret not in place_of_it.lower()
    preferences = b"".join(path.read_bytes() for path in (sources.spool.root / FOLDER).iterdir())
    assert b"secret" not in preferences.lower()


def test_an_order_is_paged_and_a_filter_says_what_it_hides(place: tuple[httpx.Client, Sources]) -> None:
    ask, sources = place
    ann, bea, cid = (
        listed(sources, attributes={"PatientName": name}, tag=tag, view=view)
        for name, tag, view in (
            ("ANN", Tag.NORMAL, "PA"),
            ("BEA", Tag.ABNORMAL, "AP"),
            ("CID", Tag.NORMAL, "AP"),
        )
    )
    by_name = {"sort": {"column": "patient_name", "descending": True}, "limit": 2}
    first = ask.post("/api/list", json=by_name)
    assert rows(first) == [cid, bea]
    assert rows(ask.post("/api/list", json={**by_name, "cursor": first.json()["next_cursor"]})) == [ann]
    filtered = ask.post("/api/list", json={"filter": {"views": ["PA"]}})
    assert rows(filtered) == [ann]
    assert filtered.json()["outside"] == {"high": 1, "past_cap": 0}
    assert ask.get("/api/list/choices").json()["views"] == ["AP", "PA"]
    assert ask.post("/api/list", json={"cursor": first.json()["next_cursor"]}).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"sort": {"column": "probability"}},
        {"sort": {"column": "age", "more": 1}},
        {"filter": {"tags": ["BAD"]}},
        {"filter": {"age_from": -1}},
        {"filter": {"age_from": float("nan")}},
        {"filter": {"arrived_within_hours": 0}},
        {"filter": {"senders": ["x"] * 21}},
        {"text": "x" * 65},
        {"limit": 501},
        {"show": "all"},
        {"cursor": "x"},
        {"cursor": "x" * 2001},
        {"more": 1},
    ],
)
def test_nonsense_is_refused(place: tuple[httpx.Client, Sources], wrong: dict[str, object]) -> None:
    headers = {"content-type": "application/json"}
    assert place[0].post("/api/list", content=json.dumps(wrong), headers=headers).status_code == 400


def test_a_site_that_hides_names_sends_none(redis_server: RedisServer, spool: Spool) -> None:
    with served(redis_server, spool, patient_names=False) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
            uid = listed(sources, attributes=SECRETS)
            receive(spool, a_chest(1))
            answers = [ask.post("/api/list", json=query) for query in ({}, {"text": "quincey"}, {"show": "untagged"})]
            answers.append(ask.get(f"/api/studies/{uid}"))
            assert rows(answers[1]) == [uid]
            assert answers[3].json()["patient"]["PatientID"] == "SECRET-4711"
            assert not [
                each for each in answers if re.search(r"quincey|seward|phantom\^chest", each.text, re.IGNORECASE)
            ]
            assert ask.post("/api/list", json={"sort": {"column": "patient_name"}}).status_code == 400
            assert ask.get("/api/preferences").json()["patient_names"] is False


def test_studies_without_a_result_are_shown_and_since_when_none_comes(place: tuple[httpx.Client, Sources]) -> None:
    ask, sources = place
    assert ask.get("/api/status").json()["no_result_since"] is None
    instance = receive(sources.spool, a_chest(1))
    long_ago = int(time.time() - STOPPED_AFTER_S - 60)
    os.utime(sources.spool.inbox_path(instance), (long_ago, long_ago))
    found = ask.post("/api/list", json={"show": "untagged"})
    assert rows(found) == [instance.study_instance_uid]
    assert found.json()["entries"][0] | {"patient_name": "PHANTOM^CHEST", "tag": None} == found.json()["entries"][0]
    since = ask.get("/api/status").json()["no_result_since"]
    assert since == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(long_ago))


@pytest.mark.parametrize(
    ("oldest", "last", "since"),
    [
        (None, 100.0, None),  # nothing waits: a quiet day
        (1000.0, 100.0, None),  # it came just now
        (500.0, 990.0, None),  # a queue, and results come
        (500.0, 400.0, 400.0),
        (500.0, None, 500.0),  # Redis lost when the last one was
    ],
)
def test_results_have_stopped_when_an_object_waits_and_none_comes(
    oldest: float | None, last: float | None, since: float | None
) -> None:
    assert stopped_by(oldest, last, 1000.0) == (None if since is None else Stopped(since))


@pytest.fixture
def signed_in(redis_server: RedisServer, spool: Spool, tmp_path: Path, quick_passwords: None) -> Iterator[SignedInWeb]:
    with signed_in_web(redis_server, spool, tmp_path) as found:
        yield found


def test_each_user_has_preferences_and_each_look_at_patients_is_audited(signed_in: SignedInWeb) -> None:
    arranged = {"columns": ["tag", "patient_name"], "sort": {"column": "age", "descending": True}}
    with signed_in.ask(READER) as ann, signed_in.ask(ADMIN) as bob:
        assert ann.post("/api/preferences", json=arranged).status_code == 200
        assert ann.get("/api/preferences").json()["columns"] == ["tag", "patient_name"]
        assert bob.get("/api/preferences").json()["columns"] is None
        for wrong in ({"text": "roe"}, {"columns": ["<b>"]}, {"sort": {"column": "x"}}):
            assert ann.post("/api/preferences", json=wrong).status_code == 400
        (file,) = (signed_in.sources.spool.root / FOLDER).iterdir()
        assert file.stat().st_mode & 0o077 == 0
        file.write_text("{")
        assert ann.get("/api/preferences").json()["columns"] is None
        for _ in range(3):
            ann.post("/api/list", json={})
        ann.post("/api/list", json={"text": "roe"})
    with signed_in.ask() as stranger:
        assert stranger.post("/api/list", json={}).status_code == 401
        assert stranger.get("/api/preferences").status_code == 401
    assert signed_in.audit.read_text().count('"/api/list"') == 2
