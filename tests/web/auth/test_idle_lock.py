"""The idle lock of workstations that people share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import PATIENCE_MS
from tests.support.identity_provider import CLIENT, PAGE, IdentityProvider, Visitor, identity_provider
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import JUDGE, READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.wait import wait_for
from tests.support.worklist_page import tagged
from triage.decision.types import Tag
from triage.errors import StartError
from triage.spool.spool import Spool
from triage.web.auth.file_sessions import FileSessions
from triage.web.auth.sessions import SessionTimes

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)

MINUTES = 10.0
BROWSER = {"User-Agent": "Mozilla/5.0"}


@pytest.fixture
def home(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Iterator[SignedInWeb]:
    with signed_in_web(redis_server, spool, tmp_path, idle_lock_minutes=MINUTES, plain_http=True) as web:
        yield web


def unused(web: SignedInWeb, seconds: float = 60 * MINUTES + 1) -> None:
    """Let the one session be unused for so long."""
    (file,) = web.sessions
    os.utime(file, (time.time() - seconds,) * 2)


def test_an_unused_session_answers_nothing_until_its_user_signs_in_again(home: SignedInWeb, spool: Spool) -> None:
    study = tagged(spool, home.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    cookie = {"Cookie": home.cookie()}
    with httpx.Client(base_url=home.address, headers={**cookie, **BROWSER}, trust_env=False) as ask:
        session = ask.get("/api/session").json()
        assert session["idle_lock_s"] == MINUTES * 60
        assert ask.get(f"/api/studies/{study}").status_code == 200
        with ask.stream("GET", "/api/changes") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: ")
            unused(home)
            for _ in range(2):  # asking again does not help
                for path in (f"/api/studies/{study}", "/api/worklist", "/api/session", "/api/attention", "/workitems"):
                    answer = ask.get(path)
                    assert answer.status_code == 401, path
                    assert 'page="/locked"' in answer.headers["www-authenticate"]
                assert ask.post(f"/api/studies/{study}/reading", json={"read": True}).status_code == 401
            assert "event: signed-out" in list(lines)
        page = ask.get("/locked").text
        assert ask.get("/api/unread-high").json() == {"unread_high": 1}
        assert study not in page and "PHANTOM" not in page
        form = {"name": JUDGE[0], "password": JUDGE[1], "next": "/"}  # another person may go on
        again = ask.post("/sign-in", data=form)
        assert (again.status_code, len(home.sessions)) == (303, 1)
        assert ask.get("/api/session").status_code == 401  # by the old cookie
        ask.headers["Cookie"] = again.headers["set-cookie"].partition(";")[0]
        assert ask.get("/api/session").json()["user"] == JUDGE[0]
        assert ask.post("/api/session/lock", json={}).json() == {"page": "/locked"}
        assert ask.get("/api/session").status_code == 401
    with home.ask(READER) as program:
        assert program.get("/api/worklist").status_code == 200  # it says who it is at each request


def test_a_locked_session_ends_when_an_idle_one_does_and_nothing_locks_unless_it_is_set(tmp_path: Path) -> None:
    now = [1_000_000.0]
    sessions = FileSessions(tmp_path, SessionTimes(1800.0, 36_000.0, 300.0), lambda: now[0])
    token = sessions.begin("ann", "1")
    now[0] += 299
    assert sessions.find(token, active=True) is not None  # that extends it
    now[0] += 299
    assert sessions.find(token, active=False) is not None and not sessions.is_locked(token)
    now[0] += 1
    assert sessions.find(token, active=True) is None and sessions.is_locked(token)
    now[0] += 1500
    assert not sessions.is_locked(token)
    never = FileSessions(tmp_path, SessionTimes(1800.0, 36_000.0), lambda: now[0])
    token = never.begin("ann", "1")
    never.lock(token)
    now[0] += 1700
    assert never.find(token, active=False) is not None and not never.is_locked(token)


@pytest.mark.parametrize("sign_in", [{"method": ""}, {"method": "proxy", "trusted_proxies": ("127.0.0.1",)}])
def test_it_is_refused_where_no_session_is_ours(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, sign_in: dict[str, object]
) -> None:
    lock = signed_in_web(redis_server, spool, tmp_path, idle_lock_minutes=5.0, **sign_in)
    with pytest.raises(StartError, match=r"web\.idle_lock_minutes"), lock:
        pass


def signed_in(context: BrowserContext, web: SignedInWeb, path: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(f"{web.address}{path}")
    return page


def enter(page: Page) -> None:
    page.get_by_label("Name").fill(READER[0])
    page.get_by_label("Password").fill(READER[1])
    page.keyboard.press("Enter")


def test_patients_leave_every_tab_the_count_stays_and_all_come_back_after_signing_in(
    browser: Browser, home: SignedInWeb, spool: Spool
) -> None:
    study = tagged(spool, home.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    context = browser.new_context()
    page = signed_in(context, home, f"/studies/{study}")
    enter(page)
    expect(page.locator("#patient")).to_have_text("PHANTOM, CHEST")
    other = signed_in(context, home, "/")
    expect(other.locator("#rows tr")).to_have_count(1)
    context.clock.set_system_time((time.time() + 60 * MINUTES + 1) * 1000)
    page.wait_for_url("**/locked?next=%2Fstudies%2F*")  # no input in either
    other.wait_for_url("**/locked?next=%2F")
    for tab in (page, other):
        expect(tab.locator("#unread-high")).to_have_text("1 unread HIGH study")
        assert not {"PHANTOM", "ACC-0001"} & set(tab.content().replace(",", " ").split())
    tagged(spool, home.sources.worklist, 2, Tag.ABNORMAL)
    expect(page.locator("#unread-high")).to_have_text("2 unread HIGH studies")
    page.go_back()  # what the browser kept shows nothing
    expect(page.locator("body")).not_to_contain_text("PHANTOM")
    page.goto(f"{home.address}/studies/{study}")
    page.wait_for_url("**/locked?next=*")
    page.get_by_role("link", name="Unlock").click()
    enter(page)
    page.wait_for_url(f"**/studies/{study}")
    expect(page.locator("#patient")).to_have_text("PHANTOM, CHEST")
    other.wait_for_url(f"{home.address}/")
    expect(other.locator("#rows tr")).to_have_count(2)
    context.close()


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        yield found


def test_at_an_identity_provider_each_sign_in_asks_who_it_is(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, provider: IdentityProvider
) -> None:
    given = {"issuer": provider.issuer, "client_id": CLIENT, "page_address": PAGE, "timeout_s": 10}
    roles = {"method": "oidc", "reader_roles": ("radiology",)}
    with signed_in_web(redis_server, spool, tmp_path, oidc=given, idle_lock_minutes=MINUTES, **roles) as web:
        visitor = Visitor(web.address, headers=BROWSER)
        assert "wrong=not-asked" in visitor.sign_in(provider).headers["location"]  # says nothing of when it asked
        provider.claims["auth_time"] = int(time.time()) - 3600
        assert "wrong=not-asked" in visitor.sign_in(provider).headers["location"]  # let in by its own session
        provider.claims["auth_time"] = int(time.time())
        sent = visitor.begin().headers["location"]
        assert "prompt=login" in sent and "max_age=0" in sent
        assert visitor.sign_in(provider).headers["location"] == "../"
        assert visitor.ask("/api/session").status_code == 200
        unused(web)
        assert 'page="/locked"' in visitor.ask("/api/session").headers["www-authenticate"]
        assert visitor.ask("/sign-in").status_code == 200  # the form, and no way around it
        provider.claims["auth_time"] = int(time.time())
        assert visitor.sign_in(provider).headers["location"] == "../"
        wait_for(lambda: visitor.ask("/api/session").status_code == 200, "the session")
