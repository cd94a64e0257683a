"""The page that calls: count in title and icon, sound and notification on request, and alarms of paging."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.redis_server import RedisServer
from tests.support.worklist_page import served, tagged
from triage.decision.types import Tag
from triage.paging.status import PagingStatus
from triage.paging.store import PagingFiles
from triage.spool.spool import Spool
from triage.web.api.attention import icon
from triage.web.api.sources import Sources
from triage.worklist.contacts import ContactKind, contacts_of

CHANGED = "dispatchEvent(new CustomEvent('worklist-changed'))"
SPY = """
  window.tones = 0; window.notices = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...at) { window.tones += 1; return start.apply(this, at); };
  window.Notification = class { constructor(title, { body }) { window.notices.push(body); }
    static permission = "granted"; static requestPermission = async () => "granted"; };
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        opened.add_init_script(SPY)
        yield opened


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool, paging=True) as (address, sources):
        PagingFiles(spool).prepare()
        PagingFiles(spool).save_status(PagingStatus(time.time() + 3600, "reading", 20))
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def test_a_new_high_is_counted_heard_and_shown_on_request_only(page: Page, place: tuple[str, Sources]):
    address, sources = place
    first = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL)
    tagged(sources.spool, sources.worklist, 2, Tag.NORMAL)
    page.goto(address)
    expect(page).to_have_title("(1) Worklist · cxr-triage")
    icon_link = page.locator("#icon")
    expect(icon_link).to_have_attribute("href", "/icon/1")
    assert page.request.get(f"{address}/icon/1").headers["content-type"] == "image/svg+xml"

    tagged(sources.spool, sources.worklist, 3, Tag.ABNORMAL)
    expect(page).to_have_title("(2) Worklist · cxr-triage")
    assert page.evaluate("[window.tones, window.notices]") == [0, []]

    page.locator("#call-sound").click()
    page.locator("#call-notice").click()
    expect(page.locator("#call-notice")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("window.tones === 2")  # to hear it
    page.reload()
    expect(page).to_have_title("(2) Worklist · cxr-triage")
    assert page.evaluate("[window.tones, window.notices]") == [0, []]  # what was there before is no news
    expect(page.locator("#call-sound")).to_have_text("Sound: press any key")
    page.keyboard.press("Shift")
    expect(page.locator("#call-sound")).to_have_text("Sound")
    # One leaves as another comes: the count stays, and it is news.
    sources.worklist.read(first.study_instance_uid, first.revision, time.time())
    tagged(sources.spool, sources.worklist, 4, Tag.ABNORMAL)
    expect(page.locator("body")).to_have_attribute("data-calls", "1")
    notice = "2 unread studies of priority HIGH"
    assert page.evaluate("window.notices.at(-1)") == notice
    page.wait_for_function("window.tones === 2")
    page.goto(f"{address}/operations")
    expect(page).to_have_title("(2) Operations · cxr-triage")


def test_alarms_of_paging_stand_on_the_list_until_they_are_over(page: Page, place: tuple[str, Sources]):
    address, sources = place
    files = PagingFiles(sources.spool)
    ahead = time.time() + 3600
    files.save_status(PagingStatus(ahead, "reading", 20, undelivered=2, undelivered_since=1.0, why="<b>SMTP</b> 451"))
    page.goto(address)
    strip = page.locator("#calls")
    expect(strip).to_have_text("2 pages could not be delivered (<b>SMTP</b> 451).")
    assert strip.locator("button").count() == 0
    assert httpx.get(f"{address}/api/status", trust_env=False).json()["paging"]["undelivered"] == 2
    files.save_status(PagingStatus(ahead, "reading", 20))
    page.evaluate(CHANGED)
    expect(strip).to_be_hidden()
    files.save_status(PagingStatus(time.time() - 600, "reading", 20))
    page.evaluate(CHANGED)
    expect(strip).to_have_text("Paging does not run: no page is sent.")


def test_opening_on_the_page_is_noted_and_asking_by_a_program_is_not(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    with httpx.Client(base_url=address, trust_env=False) as ask:
        ask.get(f"/api/studies/{uid}")
        ask.get(f"/api/studies/{uid}", headers={"X-Triage-Page": "1", "X-Triage-Idle": "1"})
        assert contacts_of(sources.spool, uid) == []
        page.goto(f"{address}/studies/{uid}")
        expect(page.locator("#patient")).to_be_visible()
        (opened,) = contacts_of(sources.spool, uid)
        assert (opened.kind, opened.who) == (ContactKind.OPENED, "local")
        path = f"/api/studies/{uid}/acknowledgement"
        assert [ask.post(path).json() for _ in range(2)] == [{"new": True}, {"new": False}]
        assert ask.post("/api/studies/1.2.99/acknowledgement").status_code == 404
        assert ask.post("/api/studies/..x/acknowledgement").status_code == 400
    assert [each.kind for each in contacts_of(sources.spool, uid)] == [ContactKind.OPENED, ContactKind.ACKNOWLEDGED]
    assert not sources.spool.study_folder("1.2.99").exists()


def test_the_icon_has_the_count() -> None:
    assert "<text" not in icon(0)
    assert ">7</text>" in icon(7) and ">99+</text>" in icon(1234)
