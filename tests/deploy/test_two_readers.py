"""Two people at one list over nginx, and hostile text of DICOM attributes in every place that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import READER, quick_passwords
from tests.support.two_readers import Place, add, behind_nginx, page_through, person, use_together
from triage.adjudication.acts import Objection, disagree
from triage.adjudication.journal import Contradicted
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.worklist.reader_acts import Act, Marking, Via, mark

__all__ = ["quick_passwords"]

MARKUP, SCRIPT = "<img src=x onerror=alert(1)>", "<script>alert(1)</script>"  # = ends a group of a name
RIGHT_TO_LEFT = "\u202eEVIL \u05de\u05e9\u05d4"
NOT_ISOLATED = """(where) => {
  const walker = document.createTreeWalker(document.querySelector(where), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const [text, parent] = [walker.currentNode.data, walker.currentNode.parentElement];
    if (/[\\u202e\\u05d0-\\u05ea]/.test(text) && parent.tagName !== "BDI") found.push(text);
  }
  return found;
}"""


@pytest.fixture
def place(quick_passwords: None, redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Iterator[Place]:
    with behind_nginx(redis_server, spool, tmp_path, 200) as found:
        yield found


def test_two_people_share_a_list_of_two_hundred_studies(browser: Browser, place: Place) -> None:
    with person(browser, place, READER) as page:
        page_through(page, place, 70)
        for wanted in (100, 200):  # and by scrolling, to the last one
            expect(page.locator("#rows tr")).to_have_count(wanted)
            page.locator("#rows tr").last.scroll_into_view_if_needed()
        expect(page.locator("#rows tr").last).to_contain_text("NAME00196, PAT")
    use_together(browser, place)


def hostile(place: Place) -> str:
    """A study whose every text is a stranger's, and which readers with such names have spoken of."""
    text = dict.fromkeys(("StudyDescription", "RequestingService", "PatientID"), f"{MARKUP[:28]}{RIGHT_TO_LEFT}")
    names = {"PatientName": f"{RIGHT_TO_LEFT}^{SCRIPT}", "ReferringPhysicianName": f"{RIGHT_TO_LEFT}^{SCRIPT}"}
    more = {"SpecificCharacterSet": "ISO_IR 192", "AccessionNumber": "\u05de\u05e9\u05d4 <b>1"}
    uid = add(place.sources, 500, Tag.ABNORMAL, **text, **names, **more)
    spool, index = place.sources.spool, place.sources.worklist
    mark(spool, index, uid, Marking(Act.LABEL, 1.0, RIGHT_TO_LEFT + MARKUP, Via.PAGE, 0))
    said = Objection(
        RIGHT_TO_LEFT, 2.0, Via.PAGE, Contradicted.MODEL, "other:x", 1, MARKUP + RIGHT_TO_LEFT, RIGHT_TO_LEFT
    )
    disagree(spool, uid, said)
    return uid


def is_harmless(page: Page, where: str, width: int) -> None:
    assert page.locator(f"{where} :is(img, script, b)").count() == 0
    assert page.evaluate(NOT_ISOLATED, where) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_is_text_alone_in_the_list_and_in_the_study(
    quick_passwords: None, browser: Browser, redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    with behind_nginx(redis_server, spool, tmp_path, 4) as place, person(browser, place, READER) as page:
        uid = hostile(place)
        for width in (1400, 360):
            page.set_viewport_size({"width": width, "height": 740})
            page.goto(f"{place.address}/")
            row = page.locator(f'#rows tr[data-uid="{uid}"]')
            expect(row).to_contain_text("EVIL")
            is_harmless(page, "#rows", width)
            page.goto(f"{place.address}/studies/{uid}")
            expect(page.locator("#about")).to_contain_text("says normal")
            expect(page.locator("#patient")).to_contain_text(SCRIPT)
            is_harmless(page, "body", width)
