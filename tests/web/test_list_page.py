"""The list in a real browser: columns, order and filter, the strip, narrow screens, both themes, names of strangers."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import PATIENCE_MS, watched
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from tests.support.studies import a_study
from tests.support.wait import wait_for
from tests.support.worklist_page import served
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.web.api.preferences import preferences_of
from triage.web.api.sources import Sources
from triage.worklist.reader_acts import Act, Marking, Via, mark

NONE_HIDDEN = re.compile("none is hidden")


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool, waiting_cap_s=7200.0) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        yield opened


def listed(
    sources: Sources, name: str = "DOE^JANE", tag: Tag = Tag.NORMAL, age_s: float = 600.0, **more: object
) -> str:
    """Add a study of a patient that came ``age_s`` seconds ago."""
    at = time.time() - age_s
    attributes = {"PatientName": name, "SpecificCharacterSet": "ISO_IR 192"}
    uid = a_study(sources.spool, tag=tag, attributes=attributes, received_at=at, assessed_at=at + 1, **more)
    record = sources.spool.decision(uid)
    assert record is not None
    sources.worklist.put(decision_from(record))
    return uid


def patients(page: Page) -> list[str]:
    return page.locator("#rows td.patient").all_inner_texts()


def test_columns_and_order_are_the_user_s_on_every_workstation(
    browser: Browser, page: Page, place: tuple[str, Sources]
) -> None:
    address, sources = place
    for name in ("ZOE", "ANN", "BEA"):
        listed(sources, name)
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(3)
    page.get_by_role("button", name="Patient", exact=True).click()
    expect(page.locator("#rows td.patient").first).to_have_text("ANN")
    expect(page.get_by_role("columnheader", name="Patient")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Patient", exact=False).first.click()
    expect(page.locator("#rows td.patient").first).to_have_text("ZOE")
    page.locator("#columns").click()
    page.get_by_label("Accession", exact=True).uncheck()
    page.get_by_role("button", name="Move Patient before").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="Accession")).to_have_count(0)
    wait_for(lambda: _moved(sources), "the columns to be kept")

    with watched(browser, width=1400, height=850) as other:
        other.goto(address)
        expect(other.locator("#rows td.patient").first).to_have_text("ZOE")
        expect(other.get_by_role("columnheader", name="Accession")).to_have_count(0)
        assert other.locator("#head th").all_inner_texts()[:4] == ["Priority", "Urgency", "Patient ↓", "Tag"]
        other.locator("#order").select_option("")
        expect(other.locator("#rows td.patient").first).to_have_text("ZOE")  # the reading order: by arrival
    wait_for(lambda: preferences_of(sources.spool, "local").sort is None, "the order to be kept")


def _moved(sources: Sources) -> bool:
    columns = preferences_of(sources.spool, "local").columns or []
    return "accession" not in columns and "tag" in columns and columns.index("patient_name") < columns.index("tag")


def test_the_strip_counts_what_is_hidden_leads_to_it_and_the_filter_ends_with_the_session(
    browser: Browser, page: Page, place: tuple[str, Sources]
) -> None:
    address, sources = place
    listed(sources, "LATE", age_s=9000.0, view="AP")
    hidden = listed(sources, "HIGH", Tag.ABNORMAL, view="AP")
    listed(sources, "SHOWN", view="PA")
    page.goto(address)
    strip = page.locator("#strip")
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(strip).to_have_text(NONE_HIDDEN)  # all are on the screen
    page.locator("#filter").click()
    page.locator("#by-view").select_option("PA")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(strip).to_contain_text("1 unread HIGH and 1 past the waiting cap are not on the screen")
    expect(page.locator("#applied")).to_contain_text("view PA")
    page.reload()  # the same session
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(strip).to_contain_text("not on the screen")
    page.keyboard.press("o")  # on every view
    expect(strip).to_contain_text("1 unread HIGH")

    with watched(browser, width=1400, height=850) as later:
        later.goto(address)
        expect(later.locator("#rows tr")).to_have_count(3)
        expect(later.locator("#toast")).to_contain_text("was taken off")
    assert preferences_of(sources.spool, "local").filter.views == ()

    page.get_by_role("button", name="Show them").click()
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(strip).to_have_text(NONE_HIDDEN)
    expect(page.locator('#rows tr[aria-selected="true"]')).to_contain_text("LATE")
    page.locator("#search").fill("shown")
    expect(strip).to_contain_text("1 unread HIGH and 1 past")
    mark(sources.spool, sources.worklist, hidden, Marking(Act.READ, time.time(), "a", Via.API))
    expect(strip).to_contain_text("1 past the waiting cap is not on the screen")


def test_a_filter_that_hides_nothing_urgent_is_there_the_next_day(
    browser: Browser, page: Page, place: tuple[str, Sources]
) -> None:
    address, sources = place
    listed(sources, "SHOWN", Tag.ABNORMAL, view="PA")
    listed(sources, "OTHER", view="AP")
    page.goto(address)
    page.locator("#filter").click()
    page.locator("#by-view").select_option("PA")
    expect(page.locator("#rows tr")).to_have_count(1)
    with watched(browser, width=1400, height=850) as later:
        later.goto(address)
        expect(later.locator("#applied")).to_contain_text("view PA")
        expect(later.locator("#rows tr")).to_have_count(1)
        later.get_by_role("button", name="Take off").click()
        expect(later.locator("#rows tr")).to_have_count(2)


def test_what_is_scrolled_away_counts_while_less_urgent_studies_are_on_the_screen(
    page: Page, place: tuple[str, Sources]
) -> None:
    address, sources = place
    listed(sources, "HIGH", Tag.ABNORMAL)
    for number in range(30):
        listed(sources, f"N{number}")
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(31)
    expect(page.locator("#strip")).to_have_text(NONE_HIDDEN)
    page.locator("#rows tr").last.scroll_into_view_if_needed()
    expect(page.locator("#strip")).to_contain_text("1 unread HIGH is not on the screen")
    page.locator("#rows tr").first.scroll_into_view_if_needed()
    expect(page.locator("#strip")).to_have_text(NONE_HIDDEN)


def test_further_studies_come_by_scrolling(page: Page, place: tuple[str, Sources]) -> None:
    address, sources = place
    one = decision_from(sources.spool.decision(listed(sources)) or {})
    from dataclasses import replace

    sources.worklist.put_all(
        replace(one, study_instance_uid=f"1.2.{n}", received_at=one.received_at + n + 1) for n in range(249)
    )
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(100)
    for wanted in (200, 250):
        page.locator("#rows tr").last.scroll_into_view_if_needed()
        expect(page.locator("#rows tr")).to_have_count(wanted)


def test_it_says_when_results_stop_and_shows_what_waits(page: Page, place: tuple[str, Sources]) -> None:
    address, sources = place
    instance = receive(sources.spool, a_chest(1))
    long_ago = time.time() - 3600
    os.utime(sources.spool.inbox_path(instance), (long_ago, long_ago))
    page.goto(address)
    expect(page.locator("#stopped")).to_contain_text("No result since")
    expect(page.locator("#stopped")).to_contain_text("in order of arrival")
    page.get_by_role("button", name="Studies without a result").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows tr")).to_contain_text("No result yet")
    expect(page.locator("#rows tr")).to_contain_text("PHANTOM, CHEST")


HOSTILE = ("<img src=x onerror=alert(1)>^A", "\u202eLIVE^\u202e", "\u05de\u05e9\u05d4^\u05db\u05d4\u05df", "A" * 64)


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 360), (3840, 2160)])
def test_names_of_strangers_break_no_line_on_any_screen(
    browser: Browser, place: tuple[str, Sources], width: int, height: int
) -> None:
    address, sources = place
    for name in HOSTILE:
        listed(sources, name, Tag.ABNORMAL)
    with watched(browser, width=width, height=height) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(address)
        expect(page.locator("#rows tr")).to_have_count(4)
        assert page.locator("#rows img").count() == 0
        assert [text.strip() for text in patients(page)][2] == "\u05de\u05e9\u05d4, \u05db\u05d4\u05df"
        assert page.locator("#rows td.patient bdi").count() == 4
        # Nothing is wider than the screen, and a study can be seen.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#rows tr").first.scroll_into_view_if_needed()
        box = page.locator("#rows tr td.patient").first.bounding_box()
        assert box is not None and 0 <= box["y"] < height and box["x"] >= 0


def test_the_theme_is_the_system_s_until_one_is_chosen_and_the_zone_is_shown(
    browser: Browser, place: tuple[str, Sources]
) -> None:
    address, sources = place
    listed(sources)
    ground = "getComputedStyle(document.body).backgroundColor"

    def opened(context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        expect(page.locator("#rows tr")).to_have_count(1)
        return page

    context = browser.new_context(color_scheme="light", timezone_id="Asia/Kolkata", locale="en-GB")
    page = opened(context)
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.emulate_media(color_scheme="light")
    page.locator("#theme").select_option("dark")
    assert page.evaluate(ground) == dark
    assert opened(context).evaluate(ground) == dark  # it is kept
    page.locator("#rows tr").click()
    page.wait_for_url("**/studies/*")
    assert page.evaluate("getComputedStyle(document.querySelector('.picture')).backgroundColor") == "rgb(0, 0, 0)"
    expect(page.locator("#about")).to_contain_text("GMT+5:30")
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="Acquired (GMT+5:30)")).to_be_visible()
    context.close()
