"""Two web processes on one database, as on two hosts behind a load balancer: `pytest --cluster`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import audit_schema as schema
from tests.support.access_places import PlacesInDatabase
from tests.support.identity_provider import CLIENT, PAGE, Visitor, identity_provider
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import ADMIN, READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.wait import wait_for
from tests.support.worklist_page import tagged
from triage.decision.types import Tag
from triage.security.roles import Role
from triage.spool.spool import Spool

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)
BROWSER = {"User-Agent": "Mozilla/5.0"}
Hosts = tuple[SignedInWeb, SignedInWeb]


@pytest.fixture
def hosts(redis_server: RedisServer, spool: Spool, tmp_path: Path, shared: PlacesInDatabase) -> Iterator[Hosts]:
    users = shared.users()
    users.add(*READER[:1], Role.READER, READER[1])
    users.add(*ADMIN[:1], Role.ADMIN, ADMIN[1])
    given = {"idle_lock_minutes": 10.0, "trusted_proxies": ("127.0.0.1",), "plain_http": True}
    with (
        signed_in_web(redis_server, spool, tmp_path, places=shared.places("a"), **given) as a,
        signed_in_web(redis_server, spool, tmp_path, places=shared.places("b"), **given) as b,
    ):
        yield a, b


def status(web: SignedInWeb, cookie: str, path: str = "/api/session") -> int:
    with web.ask(Cookie=cookie, **BROWSER) as ask:
        return ask.get(path).status_code


def lines(shared: PlacesInDatabase) -> list[tuple[str, tuple[str, str, str], tuple[str, str]]]:
    """Host, event and person of each line of the trail."""
    found = []
    for each in shared.audit().lines(0.0, 1e11):
        message = schema.checked(each.message)
        found.append((each.host, schema.event(message), schema.who(message)))
    return found


def test_who_signs_in_at_one_works_at_the_other_and_nothing_lies_in_files(
    hosts: Hosts, spool: Spool, shared: PlacesInDatabase, tmp_path: Path
) -> None:
    a, b = hosts
    study = tagged(spool, a.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    cookie = a.cookie()
    for web in (b, a, b):
        assert status(web, cookie) == 200
        assert status(web, cookie, f"/api/studies/{study}") == 200
    with b.ask(Cookie=cookie, **BROWSER) as ask:
        assert ask.post(f"/api/studies/{study}/reading", json={"read": True}).status_code == 200
        assert ask.post("/api/sign-out", json={}).status_code == 200
    assert status(a, cookie) == 401
    assert not list(tmp_path.glob("sessions/*")) and not a.audit.exists()
    views = [host for host, event, who in lines(shared) if event[:2] == ("110103", "R") and who[0] == "ann"]
    assert sorted(views) == ["a", "b"]  # each host writes an opening once
    assert [host for host, event, _ in lines(shared) if event[0] == "110100"] == ["a", "b"]


def test_a_session_that_is_locked_at_one_is_locked_at_the_other(hosts: Hosts, shared: PlacesInDatabase) -> None:
    a, b = hosts
    cookie = a.cookie()
    with a.ask(Cookie=cookie, **BROWSER) as ask:
        assert ask.post("/api/session/lock", json={}).json() == {"page": "/locked"}
    for web in (b, a):
        with web.ask(Cookie=cookie, **BROWSER) as ask:
            refused = ask.get("/api/session")
            assert (refused.status_code, 'page="/locked"' in refused.headers["www-authenticate"]) == (401, True)
    cookie = b.cookie()
    shared.pass_time(601)
    assert status(a, cookie) == 401


def test_changes_of_users_end_sessions_at_every_host_at_once(hosts: Hosts, shared: PlacesInDatabase) -> None:
    a, b = hosts
    users, password = shared.users(), READER[1]
    for change in (
        lambda: users.change_role("ann", Role.ADMIN),
        lambda: users.change_password("ann", "quite another password"),
        lambda: users.remove("ann"),
    ):
        cookies = [web.cookie("ann", password) for web in (a, b)]
        with a.ask(("ann", password)) as program:
            assert program.get("/api/session").status_code == 200
            change()
            assert [status(web, cookie) for web in (a, b) for cookie in cookies] == [401] * 4
            if program.get("/api/session").status_code == 401:
                password = "quite another password"
    with b.ask(("ann", password)) as program:
        assert program.get("/api/session").status_code == 401


def test_every_session_is_ended_by_one_act(hosts: Hosts, shared: PlacesInDatabase) -> None:
    from triage.web.auth.sessions import SessionTimes

    a, b = hosts
    cookies = [a.cookie(), b.cookie(*ADMIN)]
    shared.sessions(SessionTimes(1.0, 1.0)).end_all("ann")
    assert [status(web, cookie) for web in hosts for cookie in cookies] == [401, 200, 401, 200]


def test_guesses_that_are_spread_over_hosts_wait_as_those_at_one(hosts: Hosts) -> None:
    stranger, owner = {"X_Forwarded_For": "192.0.2.66"}, {"X_Forwarded_For": "192.0.2.1"}
    for number in range(5):
        with hosts[number % 2].ask(("ann", f"guess {number}"), **stranger) as ask:
            assert ask.get("/api/session").status_code == 401

    def guess(web: SignedInWeb) -> httpx.Response:
        with web.ask(("ann", "guess"), **stranger) as ask:
            return ask.get("/api/session")

    for web in hosts:
        slowed = wait_for(lambda web=web: (answer := guess(web)).status_code == 429 and answer, "too many guesses")
        assert int(slowed.headers["retry-after"]) >= 1
        with web.ask(READER, **owner) as ask:
            assert ask.get("/api/session").status_code == 200


def test_the_stream_at_one_ends_with_the_session_at_the_other(hosts: Hosts) -> None:
    a, b = hosts
    cookie = a.cookie()
    said: list[str] = []

    def listen() -> None:
        with b.ask(Cookie=cookie, **BROWSER) as ask, ask.stream("GET", "/api/changes") as answer:
            said.extend(line for line in answer.iter_lines() if line.startswith("event"))
        said.append("END")

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        wait_for(lambda: "event: list" in said, "the first event")
        with a.ask(Cookie=cookie, **BROWSER) as ask:
            ask.post("/api/sign-out", json={})
        wait_for(lambda: "END" in said, "the end of the stream")
    finally:
        thread.join(60)
    assert said[-2:] == ["event: signed-out", "END"]


def test_clocks_that_differ_end_no_session_and_disorder_no_trail(
    hosts: Hosts, shared: PlacesInDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    cookie = hosts[0].cookie()
    for number, ahead in enumerate((60.0, -60.0, 3600.0, -3600.0)):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        web = hosts[number % 2]
        with web.ask(Cookie=cookie, **BROWSER) as ask:
            assert ask.get("/api/worklist", params={"q": f"search {number}"}).status_code == 200
    found = [each for each in shared.audit().lines(0.0, 1e11) if "110112" in each.message]
    assert [schema.query(schema.checked(each.message)) for each in found] == [f"q=search+{n}" for n in range(4)]
    times = [schema.checked(each.message).find("EventIdentification").get("EventDateTime") for each in found]
    assert times == sorted(times)


def test_a_sign_in_that_begins_at_one_host_ends_at_the_other(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, shared: PlacesInDatabase
) -> None:
    with identity_provider() as provider:
        oidc = {"issuer": provider.issuer, "client_id": CLIENT, "page_address": PAGE, "timeout_s": 10}
        given = {"method": "oidc", "reader_roles": ("radiology",), "oidc": oidc}
        with (
            signed_in_web(redis_server, spool, tmp_path, places=shared.places("a"), **given) as a,
            signed_in_web(redis_server, spool, tmp_path, places=shared.places("b"), **given) as b,
        ):
            visitor = Visitor(a.address)
            sent = visitor.begin()
            back = provider.sign_in(sent.headers["location"])
            stolen = dict(visitor.cookies)
            visitor.address = b.address
            assert visitor.come_back(back).headers["location"] == "../"
            for web in (b, a):
                visitor.address = web.address
                assert visitor.ask("/api/session").status_code == 200
            again = Visitor(a.address, stolen)  # the same answer, at the host that has not seen it
            assert "wrong=stale" in again.come_back(back).headers["location"]
            assert visitor.ask("/api/sign-out", "POST").status_code == 200
            assert shared.run("SELECT count(*) FROM session WHERE tenant = :tenant") == [[0]]


def test_while_the_database_is_away_nothing_is_shown_and_nobody_is_signed_out(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, shared: PlacesInDatabase
) -> None:
    shared.users().add("ann", Role.READER, READER[1])
    places = shared.places("a")
    with signed_in_web(redis_server, spool, tmp_path, places=places, plain_http=True) as web:
        study = tagged(spool, web.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
        cookie = web.cookie()
        assert status(web, cookie, f"/api/studies/{study}") == 200
        with web.ask(Cookie=cookie, **BROWSER) as ask, ask.stream("GET", "/api/changes") as stream:
            said = stream.iter_lines()
            assert next(said).startswith("event: ")
            shared.server.stop(signal.SIGQUIT)
            try:
                for path in (f"/api/studies/{study}", "/api/worklist", "/api/session", "/sign-in"):
                    answer = ask.get(path)
                    assert answer.status_code == 503, path
                    assert "PHANTOM" not in answer.text
                assert ask.post("/api/sign-out", json={}).status_code == 503
                form = {"name": READER[0], "password": READER[1], "next": "/"}
                assert ask.post("/sign-in", data=form).status_code == 503
                assert ask.get("/healthz").status_code == 200
                assert "event: signed-out" not in list(said)  # it ends, and the page asks again
            finally:
                shared.server.start()
        wait_for(lambda: status(web, cookie, f"/api/studies/{study}") == 200, "the database")
