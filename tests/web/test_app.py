"""The web process over real sockets, with a real Redis."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.builders import a_decision
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import Priority, Tag
from triage.errors import StartError
from triage.runtime.sockets import listen
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.app import RequestPolicy, client, create_app, known_hosts
from triage.web.auth.setup import AccessSettings
from triage.web.http.serving import server_of
from triage.web.http.static import PAGE_HEADERS
from triage.web.server import ListOptions, RedisAddress, run
from triage.worklist import index_keys as keys
from triage.worklist.index import IndexedWorklist


@contextmanager
def web(redis: RedisServer, spool: Spool, waiting_cap_s: float = 0.0, timeout_s: float = 5.0) -> Iterator[httpx.Client]:
    """A served application, and a client that asks it."""
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with listening, client(redis.url, timeout_s) as connection:
        sources = Sources(spool, connection, IndexedWorklist(connection), waiting_cap_s, time.time)
        server = server_of(create_app(sources, RequestPolicy(known_hosts("127.0.0.1"))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the web server")
            with httpx.Client(base_url=address, trust_env=False, timeout=30) as asking:
                yield asking
        finally:
            server.should_exit = True
            thread.join()


def index(redis: RedisServer, *decisions) -> None:
    with redis.client() as connection:
        worklist = IndexedWorklist(connection)
        worklist.put_all(decisions)
        worklist.end_building(worklist.begin_building())


def studies(page: httpx.Response) -> list[str]:
    return [entry["study_instance_uid"] for entry in page.json()["entries"]]


LOOKS = [
    *("/api/worklist?limit=500", "/api/worklist?q=1.2&limit=500", "/api/worklist?tag=ABNORMAL&limit=500"),
    *("/api/read?limit=500", "/api/status", "/api/operations", "/readyz", "/metrics"),
]
ODD = [float("nan"), float("inf"), 1e300, -5, 10**400, "x", "\ud800", "x" * 100_000, None, [], {}, [None], True]


def test_no_value_in_any_entry_stops_the_list_or_hides_a_raised_study(redis_server: RedisServer, spool: Spool):
    good = [a_decision(f"1.2.{n}", tag=Tag.ABNORMAL, priority=Priority.HIGH, received_at=1e3 + n) for n in range(5)]
    fields = to_record(good[0])
    changes = [{name: value} for name in fields for value in ODD]
    bad = [a_decision(f"1.3.{number}", received_at=10.0) for number in range(len(changes))]
    index(redis_server, *bad, *good)
    entries = {
        each.study_instance_uid: json.dumps({**to_record(each), **change})
        for each, change in zip(bad, changes, strict=True)
    }
    redis_server.client().hset(keys.ENTRIES, mapping=entries)
    redis_server.client().zadd(keys.READ_AT, dict.fromkeys(entries, 1.0))

    with web(redis_server, spool) as ask:
        answers = {path: ask.get(path) for path in LOOKS}
        found = ask.post("/api/search", json={"text": "1.2.3"}, headers={"Origin": str(ask.base_url)})

    assert {path: each.status_code for path, each in answers.items()} == dict.fromkeys(LOOKS, 200)
    for path in LOOKS[:3]:
        assert {each.study_instance_uid for each in good} <= set(studies(answers[path])), path
    assert not answers[LOOKS[0]].json()["complete"]
    assert studies(found) == ["1.2.3"]


def test_an_entry_has_what_the_interface_promises(redis_server: RedisServer, spool: Spool):
    index(redis_server, a_decision("1.2.3", tag=Tag.ABNORMAL, probability=0.9, priority=Priority.HIGH))

    with web(redis_server, spool) as ask:
        answer = ask.get("/api/worklist")

    assert answer.status_code == 200
    assert answer.json()["complete"] is True
    (entry,) = answer.json()["entries"]
    assert entry == {
        "study_instance_uid": "1.2.3",
        "accession_number": "A1",
        "accession_issuer": "",
        "sequence": 0,
        "silent": False,
        "tag": "ABNORMAL",
        "probability": 0.9,
        "priority": "HIGH",
        "reasons": [],
        "model_id": "rsna-adult 1",
        "evidence": ["1.2.3.4"],
        "received_at": "1970-01-01T00:16:40.000Z",
        "tagged_at": "1970-01-01T00:16:41.000Z",
        "revision": "c" * 64,
        "prior": False,
        "calling_ae_title": "",
        "scope": "AI triage, unverified, of the frontal images",
        "urgency": "urgent",
        "findings": [],
        "order_priority": None,
    }


def test_pages_follow_the_reading_order_to_the_end(redis_server: RedisServer, spool: Spool):
    low, high, first, second = "1.1", "1.2", "1.3", "1.4"
    index(
        redis_server,
        a_decision(low, priority=Priority.LOW, received_at=1.0),
        a_decision(second, received_at=3.0),
        a_decision(first, received_at=2.0),
        a_decision(high, priority=Priority.HIGH, received_at=4.0),
    )

    with web(redis_server, spool) as ask:
        seen, cursor = [], None
        while True:
            page = ask.get("/api/worklist", params={"limit": 3, **({"cursor": cursor} if cursor else {})})
            seen.append(studies(page))
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break

    assert seen == [[high, first, second], [low]]


def test_past_the_waiting_cap_a_study_comes_first(redis_server: RedisServer, spool: Spool):
    index(
        redis_server,
        a_decision("1.1", priority=Priority.HIGH, received_at=time.time()),
        a_decision("1.2", priority=Priority.LOW, received_at=time.time() - 7200),
    )

    with web(redis_server, spool, waiting_cap_s=3600) as ask:
        assert studies(ask.get("/api/worklist")) == ["1.2", "1.1"]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "1.5", "", "ten", "٣", "9" * 40])
def test_a_wrong_limit_is_refused_with_what_is_right(redis_server: RedisServer, spool: Spool, limit: str):
    with web(redis_server, spool) as ask:
        answer = ask.get("/api/worklist", params={"limit": limit})

    assert (answer.status_code, answer.json()) == (400, {"error": "limit must be a whole number from 1 to 500"})


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "a" * 5000, "MCwwLA==", "LTEsOSx8", "é"])
def test_a_wrong_cursor_is_refused(redis_server: RedisServer, spool: Spool, cursor: str):
    with web(redis_server, spool) as ask:
        answer = ask.get("/api/worklist", params={"cursor": cursor})

    assert answer.status_code == 400
    assert "cursor" in answer.json()["error"]


def test_a_list_that_is_being_rebuilt_says_so(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        assert ask.get("/api/worklist").json() == {"entries": [], "next_cursor": None, "complete": False}


def test_without_redis_single_studies_are_still_there(redis_server: RedisServer, spool: Spool):
    decision = a_decision("1.2.3", tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,), probability=None)
    with spool.study_lock("1.2.3"):
        spool.write_decision("1.2.3", to_record(decision))

    with web(redis_server, spool) as ask:
        index(redis_server, decision)
        assert ask.get("/readyz").status_code == 200
        redis_server.kill()

        page, study, ready = ask.get("/api/worklist"), ask.get("/api/worklist/1.2.3"), ask.get("/readyz")
        assert (page.status_code, ready.status_code) == (503, 503)
        assert "Redis" in page.json()["error"]
        assert (study.status_code, study.json()["reasons"]) == (200, ["undecodable"])
        assert ask.get("/healthz").status_code == 200
        assert ask.get("/api/status").json()["redis"] == "down"

        redis_server.start()
        assert ask.get("/readyz").status_code == 200
        assert studies(ask.get("/api/worklist")) == ["1.2.3"]


def test_a_stalled_redis_is_an_error_and_not_a_hang(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool, timeout_s=0.5) as ask:
        assert ask.get("/api/worklist").status_code == 200
        redis_server.stall()
        try:
            assert ask.get("/api/worklist").status_code == 503
        finally:
            redis_server.resume()
        assert wait_for(lambda: ask.get("/api/worklist").status_code == 200, "the worklist after the stall")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/worklist/1.2.999", 404),
        ("/api/worklist/..%2f..%2fVERSION", 404),
        ("/api/worklist/1.2;rm", 400),
        ("/api/worklist/" + "1." * 40 + "1", 400),
        ("/api/nothing", 404),
    ],
)
def test_what_is_not_there_is_said_in_json(redis_server: RedisServer, spool: Spool, path: str, status: int):
    with web(redis_server, spool) as ask:
        answer = ask.get(path)

    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(redis_server: RedisServer, spool: Spool, method: str):
    with web(redis_server, spool) as ask:
        assert ask.request(method, "/api/worklist").status_code == 405


def test_every_answer_has_the_security_headers(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        for path in ("/", "/api/worklist", "/api/worklist/9.9", "/metrics", "/nothing"):
            headers = ask.get(path).headers
            assert {name: headers.get(name) for name in PAGE_HEADERS} == PAGE_HEADERS
            assert "server" not in headers


def test_an_internal_error_tells_the_log_and_not_the_client(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
):
    folder = spool.study_folder("1.2.3")
    folder.mkdir(parents=True)
    (folder / "decision.json").mkdir()  # a disk that lies

    with web(redis_server, spool) as ask:
        answer = ask.get("/api/worklist/1.2.3")

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error: see the log of the web process"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "IsADirectoryError" in caplog.text


def test_another_name_than_ours_is_not_answered(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        assert ask.get("/api/worklist", headers={"Host": "evil.example"}).status_code == 421
        for host in ("localhost", "LOCALHOST:8080", "[::1]:8080", "127.0.0.1"):
            assert ask.get("/api/worklist", headers={"Host": host}).status_code == 200


def test_what_is_scraped_answers_to_any_address_and_to_no_other_name(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        for path in ("/metrics", "/healthz", "/readyz"):
            for host in ("10.244.1.7:8080", "[2001:db8::7]:8080"):
                assert ask.get(path, headers={"Host": host}).status_code == 200
            for host in ("evil.example", "10.244.1.7.evil.example", ""):
                assert ask.get(path, headers={"Host": host}).status_code in (400, 421)
        assert ask.get("/api/worklist", headers={"Host": "10.244.1.7:8080"}).status_code == 421


def test_a_host_that_others_can_reach_may_have_any_name():
    assert known_hosts("0.0.0.0") == frozenset()
    assert "localhost" in known_hosts("127.0.0.1")


def test_metrics_name_routes_and_never_studies(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        ask.get("/api/worklist/1.2.3.4.5")
        ask.get("/somewhere/else/1.2.3.4.5")
        text = ask.get("/metrics").text

    assert 'cxr_triage_http_requests_total{route="/api/worklist/{study_instance_uid}",status="404"} 1.0' in text
    assert 'cxr_triage_http_requests_total{route="unmatched",status="404"} 1.0' in text
    assert "1.2.3.4.5" not in text


def test_the_page_loads_nothing_from_elsewhere(redis_server: RedisServer, spool: Spool):
    with web(redis_server, spool) as ask:
        for page in ("/", "/operations", "/studies/1.2"):
            answer = ask.get(page)
            links = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
            assert len(links) > 2
            assert not any(link.startswith("/") for link in links)  # it may lie below a path
            assert all(ask.get(urljoin(page, link)).status_code == 200 for link in links)

    assert "not a medical device" in answer.text
    assert "http" not in answer.text


def test_the_status_counts_what_waits(redis_server: RedisServer, spool: Spool):
    index(redis_server, a_decision())
    spool.model_switches.set_disabled("rsna-adult", True)

    with web(redis_server, spool) as ask:
        status = ask.get("/api/status").json()

    assert status["worklist_studies"] == 1
    assert status["worklist_complete"] is True
    assert (status["inbox_objects"], status["oldest_untagged_received_at"], status["dead_letters"]) == (0, None, 0)
    assert status["disabled_models"] == ["rsna-adult"]
    assert "not a medical device" in status["use"] and "weights" in status["use"]
    assert status["spool_free_bytes"] > 0


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers():
    with closing(listen("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_says_what_to_do(spool: Spool):
    with closing(listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=rf"{port}.*TRIAGE_WEB_PORT"):
            run(WebSettings(port=port), spool, RedisAddress("unix:///nowhere", 1), ListOptions(), AccessSettings())


_PROCESS = """
import sys
from pathlib import Path
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.web.auth.setup import AccessSettings
from triage.web.server import ListOptions, RedisAddress, run
port, folder, redis_url = sys.argv[1:]
spool = Spool.open(Path(folder))
run(WebSettings(port=int(port)), spool, RedisAddress(redis_url, 5), ListOptions(), AccessSettings())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_0(
    redis_server: RedisServer, spool: Spool, number: signal.Signals, free_port: int
):
    arguments = [str(free_port), str(spool.root), redis_server.url]
    process = subprocess.Popen([sys.executable, "-c", _PROCESS, *arguments], env={**os.environ}, cwd=_root())
    try:
        wait_for(lambda: _answers(free_port), "the web process")
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _root() -> Path:
    return Path(__file__).parents[2]
