"""Every view of the page by the rules of axe-core, in both themes, narrow and wide: tests/acceptance/axe.sh."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PATIENCE_MS
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from tests.support.signed_in_web import signed_in_web
from tests.support.worklist_page import served, tagged
from triage.adjudication.acts import Objection, disagree
from triage.adjudication.journal import Contradicted
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.card_library import CardLibrary
from triage.model.installed import models_folder
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.worklist.presence import OpenPage
from triage.worklist.reader_acts import Via

VIOLATIONS = """() => axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
  nodes.map((node) => `${id}: ${node.target}: ${node.any[0]?.message ?? ""}`)))"""


def opened_filter(page: Page) -> None:
    page.locator("#filter").click()
    page.locator("#age-from").fill("18")
    page.locator("#age-from").press("Tab")
    page.locator("#order").select_option("age")
    expect(page.locator("#applied")).to_be_visible()


def opened_study(page: Page) -> None:
    page.locator("#rows tr").first.click()
    expect(page.locator("#patient")).to_be_visible()


def claimed_study(page: Page) -> None:
    """A study that others have open and have read, claimed here, with a message that can be undone."""
    opened_study(page)
    page.locator("#claim").click()
    expect(page.locator("#together-claim")).to_be_visible()
    page.locator("#read").dispatch_event("click")
    expect(page.locator("#undo")).to_be_visible()


def ended_claim(page: Page) -> None:
    opened_study(page)
    page.locator("#claim").click()
    page.locator("#release").click()


def two_pictures(page: Page) -> None:
    """Open a study with everything that can stand on its pictures."""
    opened_study(page)
    expect(page.locator(".other-study").first).to_be_visible()
    page.keyboard.press("e")
    expect(page.locator("#caption-2")).to_contain_text(re.compile("Another study|Andere Studie"))
    expect(page.locator("#image-2")).to_have_attribute("data-state", re.compile("zoom"))  # it is on the screen
    for key in "txl":
        page.keyboard.press(key)
    expect(page.locator("#turned-2")).to_be_visible()
    expect(page.locator("#length-2")).to_be_visible()


def opened_figures(page: Page) -> None:
    opened_study(page)
    page.locator(".figures").first.click()
    expect(page.locator("#figures")).to_be_visible()
    expect(page.locator(".figures-table").first).to_be_visible()


def opened_dialog(page: Page) -> None:
    opened_study(page)
    page.locator("[data-disagree]").last.click()
    expect(page.locator("#disagreeing")).to_be_visible()


def opened_case(page: Page) -> None:
    page.locator(".case").first.click()
    expect(page.locator("#image")).to_have_attribute("aria-label", re.compile("[0-9]"))


VIEWS: dict[str, tuple[str, Callable[[Page], object]]] = {
    "list": ("", lambda page: expect(page.locator("#stopped")).to_be_visible()),
    "filtered and sorted": ("", opened_filter),
    "columns": ("", lambda page: page.locator("#columns").click()),
    "keys": ("", lambda page: page.locator("#keys").click()),
    "study": ("", opened_study),
    "claimed study": ("", claimed_study),
    "end of a claim": ("", ended_claim),
    "two pictures": ("", two_pictures),
    "figures": ("", opened_figures),
    "disagreement": ("", opened_dialog),
    "cases": ("adjudication", opened_case),
    "operations": ("operations", lambda page: expect(page.locator(".tile").first).to_be_visible()),
}


def released(name: str) -> str:
    """Digest of a released model's weights."""
    digest: str = json.loads((models_folder(None) / name / "card.json").read_text())["model_sha256"]
    return digest


def filled(sources: Sources) -> None:
    """List studies of every tag, one of them past the cap, and leave one without a result for long."""
    for number, tag in enumerate([*Tag] * 4):
        reasons = (Reason.AGE_UNKNOWN,) if tag is Tag.NOT_ASSESSED else ()
        model = {"model_id": "rsna-adult 2", "model_digest": released("rsna-adult")}
        tagged(sources.spool, sources.worklist, number, tag, age_s=600.0 * (number + 1), reasons=reasons, **model)
    uid = next(sources.spool.study_uids())
    disagree(sources.spool, uid, Objection("ann", 1.0, Via.PAGE, Contradicted.REPORT, "other:x", 1, "why", "x"))
    waiting = sources.spool.inbox_path(receive(sources.spool, a_chest(1)))
    os.utime(waiting, (time.time() - 9000, time.time() - 9000))
    sources.worklist.end_building(sources.worklist.begin_building())


@dataclass(frozen=True)
class Screen:
    """A screen, and the language that its browser asks for."""

    theme: Literal["light", "dark"]
    width: int
    language: str


def violations(browser: Browser, address: str, screen: Screen, prepare: Callable[[Page], object]) -> list[str]:
    context = browser.new_context(
        viewport={"width": screen.width, "height": 800}, color_scheme=screen.theme, locale=screen.language
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("lang", screen.language[:2])
    prepare(page)
    page.evaluate(Path(os.environ["AXE"]).read_text())
    found: list[str] = page.evaluate(VIOLATIONS)
    context.close()
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_no_rule_is_violated_on_any_view(
    browser: Browser,
    redis_server: RedisServer,
    spool: Spool,
    theme: Literal["light", "dark"],
    width: int,
    language: str,
) -> None:
    screen = Screen(theme, width, language)
    cards = CardLibrary(lambda: models_folder(None))
    with served(redis_server, spool, ups=True, waiting_cap_s=3600.0, cards=cards) as (address, sources):
        filled(sources)
        for number, each in enumerate(sources.worklist.study_uids()):
            sources.presence.renew(OpenPage(f"{number:032x}", "another reader", each))
        found = {
            name: violations(browser, f"{address}/{path}", screen, prepare) for name, (path, prepare) in VIEWS.items()
        }
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
def test_no_rule_is_violated_at_the_sign_in(
    browser: Browser,
    redis_server: RedisServer,
    spool: Spool,
    tmp_path: Path,
    theme: Literal["light", "dark"],
    language: str,
) -> None:
    screen = Screen(theme, 360, language)
    with signed_in_web(redis_server, spool, tmp_path) as web:
        for path in ("sign-in", "locked"):
            assert violations(browser, f"{web.address}/{path}", screen, lambda page: None) == []
