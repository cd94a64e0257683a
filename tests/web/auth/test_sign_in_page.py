"""Signing in and out in a real browser."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import audit_schema as schema
from tests.support.browser import chromium, watched
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import ADMIN, READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.wait import wait_for
from tests.support.worklist_page import tagged
from triage.decision.types import Tag
from triage.security.file_users import FileUsers
from triage.spool.spool import Spool

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--host-resolver-rules=MAP triage.test 127.0.0.1") as launched:
        yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        yield opened


@pytest.fixture
def home(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Iterator[SignedInWeb]:
    with signed_in_web(redis_server, spool, tmp_path) as found:
        yield found


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_one_signs_in_by_keys_alone_lands_on_the_study_and_signs_out(page: Page, home: SignedInWeb) -> None:
    study = tagged(home.sources.spool, home.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    page.goto(f"{home.address}/studies/{study}")
    page.wait_for_url(f"**/sign-in?next=%2Fstudies%2F{study}")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("ann")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(READER[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/studies/{study}")
    expect(page.locator("#patient")).to_have_text("PHANTOM, CHEST")
    expect(page.locator("#user")).to_have_text("ann")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in**")
    page.goto(f"{home.address}/studies/{study}")  # nothing of it is shown again
    page.wait_for_url("**/sign-in**")
    assert home.sessions == []
    told = [schema.event(each)[0] for each in schema.messages(home.audit)]
    assert told.count("110103") == 1
    assert told.count("110114") == 3


def test_the_page_is_left_when_the_session_ends(page: Page, home: SignedInWeb) -> None:
    page.goto(f"{home.address}/sign-in")
    sign_in(page, *READER)
    expect(page.locator("#live")).to_have_text("Live")
    FileUsers(home.folder / "users.json").remove("ann")  # without input on the page
    page.wait_for_url("**/sign-in**")
    expect(page.get_by_label("Name")).to_be_visible()


def test_a_page_that_is_left_alone_does_not_keep_its_session_alive(page: Page, home: SignedInWeb) -> None:
    page.goto(f"{home.address}/sign-in")
    sign_in(page, *READER)
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 60_000; }")  # a minute without input
    (file,) = home.sessions
    old = time.time() - 1500
    numbers = count(1)

    def asks_and_prolongs_nothing() -> bool:
        os.utime(file, (old, old))
        with page.expect_response("**/api/list"):
            tagged(home.sources.spool, home.sources.worklist, next(numbers))
        return file.stat().st_mtime == old

    # The first time, what the page asked as it was opened may still be on its way.
    wait_for(asks_and_prolongs_nothing, "the page to ask without prolonging the session")
    page.keyboard.press("g")
    wait_for(lambda: file.stat().st_mtime > old, "the session to be prolonged by input")


def test_an_admin_is_shown_as_one_and_may_requeue_and_a_reader_may_not(page: Page, home: SignedInWeb) -> None:
    from tests.support.service import a_chest, receive

    instance = receive(home.sources.spool, a_chest(7))
    home.sources.spool.bury(instance, {"error": "ValueError", "tries": 3, "buried_at": 1e9})
    page.goto(f"{home.address}/operations")
    page.wait_for_url("**/sign-in**")
    sign_in(page, *READER)
    expect(page.get_by_role("region", name="Dead letters").locator(".value")).to_have_text("1")
    expect(page.get_by_role("button", name="Try again")).to_be_disabled()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in**")
    sign_in(page, *ADMIN)
    expect(page.locator("#user")).to_have_text("bob (admin)")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Untagged").locator(".value")).to_have_text("1")


def test_behind_a_proxy_its_user_is_shown(
    browser: Browser, redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    given = {"method": "proxy", "trusted_proxies": ("127.0.0.1",), "sign_out_address": "/oauth2/sign_out"}
    with signed_in_web(redis_server, spool, tmp_path, **given) as home, watched(browser, 1400, 850) as page:
        page.set_extra_http_headers({"X-Remote-User": "carol"})  # as the proxy between would
        page.goto(home.address)
        expect(page.locator("#user")).to_have_text("carol")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/oauth2/sign_out")
        assert "error" in json.loads(page.locator("body").inner_text())


def test_over_plain_http_a_browser_says_less_and_signs_in_total_the_same(
    browser: Browser, redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    # By a name that is not loopback's a browser sends no Sec-Fetch-Site, and keeps no Secure cookie.
    with signed_in_web(redis_server, spool, tmp_path, plain_http=True, called="triage.test") as home:
        page = browser.new_page()
        page.goto(home.address.replace("127.0.0.1", "triage.test"))
        page.wait_for_url("http://triage.test*/sign-in**")
        sign_in(page, *READER)
        expect(page.locator("#user")).to_have_text("ann")
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("triage", False, True)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in**")
        assert home.sessions == []
        page.close()
