"""A language in which every text is marked and longer: what stands on a page without the mark is in no catalogue."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.findings import a_score, scored
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import quick_passwords, signed_in_web
from tests.support.worklist_page import served, tagged
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.card import CARD
from triage.model.card_library import CardLibrary
from triage.model.installed import models_folder
from triage.spool.spool import Spool
from triage.web import languages
from triage.web.api.sources import Sources
from triage.web.languages import Catalogue

__all__ = ["quick_passwords"]

WORDS = """() => {
  const found = [document.title];
  const isData = (node) => node.closest("bdi, kbd, script, noscript, #running, #user, body [lang]");
  for (const node of document.querySelectorAll("body, body *")) {  // a sentence may hold elements, which are data
    const texts = [...node.childNodes].filter((each) => each.nodeType === Node.TEXT_NODE);
    if (!isData(node)) found.push(texts.map((each) => each.data).join(""));
  }
  for (const name of ["title", "aria-label", "placeholder"])
    for (const node of document.querySelectorAll(`body [${name}]`))
      if (!isData(node) && !node.matches("td")) found.push(node.getAttribute(name));
  return found.filter((text) => text.trim());
}"""
DATA = re.compile(
    r"\b(HIGH|MEDIUM|LOW|DX|CR|PA|AP|[AP]M|UTC|GMT|cxr-triage|ACC-\d+|MODALITY\d|rsna-adult|SHA-256 \w+|local)\b|[\d.]+"
)
MARKED = re.compile(r"⟦[^⟦⟧]*⟧")


def pseudo(language: str) -> Catalogue:
    """Return the English texts, marked and two fifths longer."""
    english = {**_REAL("en"), **{key: key for key in _OF_CARDS}}
    return {
        key: {form: _marked(each) for form, each in text.items()} if isinstance(text, dict) else _marked(str(text))
        for key, text in english.items()
    }


_REAL = languages.catalogue
_OF_CARDS = [f"finding.{each}" for each in ("abnormal", "effusion", "lung_opacity", "nodule")]
_OF_CARDS += [f"figure.{each}" for each in ("auc", "auc within view", "sensitivity", "specificity")]
"""Words for codes in cards, for which English has those of the card."""


def _marked(text: str) -> str:
    return f"⟦{text}{'~' * math.ceil(0.4 * len(text))}⟧"


def unmarked(page: Page) -> list[str]:
    """Return the words on a page that no catalogue has."""
    found = []
    for text in page.evaluate(WORDS):
        rest = text
        while MARKED.search(rest):
            rest = MARKED.sub("", rest)
        if re.search(r"[^\W\d_]{2,}", DATA.sub("", rest)):
            found.append(text)
    return found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        yield opened


def released(name: str) -> dict[str, str]:
    """Return name and digest of a released model, as an image has them that it scored."""
    card = json.loads((models_folder(None) / name / CARD).read_text())
    return {"model_id": f"{name} {card['version']}", "model_digest": card["model_sha256"]}


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    cards = CardLibrary(lambda: models_folder(None))
    with served(redis_server, spool, paging=True, ups=True, maps=True, cards=cards) as (address, sources):
        (result,) = scored(a_score("effusion", 0.91, threshold=0.35), a_score("nodule", 0.1))["results"]
        results = (replace(result, **released("rsna-adult")),)
        tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL, results=results, age_s=600)
        tagged(sources.spool, sources.worklist, 2, Tag.NOT_ASSESSED, reasons=(Reason.AGE_UNKNOWN,), age_s=90_000)
        tagged(sources.spool, sources.worklist, 3, Tag.NORMAL, view="PA", ap_share=0.981, view_contradicted=True)
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def open_list(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(3)


def test_no_text_is_outside_the_catalogue(
    page: Page, place: tuple[str, Sources], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "catalogue", pseudo)
    address, _ = place
    open_list(page, address)
    page.locator("#which").select_option("ABNORMAL")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.locator("#columns").click()
    assert unmarked(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("#rows tr").click()
    expect(page.locator("#findings")).to_be_visible()
    expect(page.locator("#image")).to_have_attribute("aria-label", re.compile("96"))
    for key in "lxt":
        page.keyboard.press(key)
    page.locator("button.figures").first.click()
    expect(page.locator("#figures .figures-table").first).to_be_visible()
    assert unmarked(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("#together-claim")).to_be_visible()
    page.locator("#release").click()
    expect(page.locator("#releasing")).to_be_visible()
    assert unmarked(page) == []
    page.locator("#release-cancel").click()
    page.locator("#findings button").first.click()
    expect(page.locator("#disagreeing")).to_be_visible()
    assert unmarked(page) == []
    page.locator("#why").fill("because")
    page.locator("#disagreement-save").click()
    expect(page.locator(".disagreement")).to_be_visible()
    page.keyboard.press("r")
    expect(page.locator("#toast")).to_contain_text("⟦")
    assert unmarked(page) == []
    for path, shown in {"operations": ".tile", "adjudication": ".case"}.items():
        page.goto(f"{address}/{path}")
        expect(page.locator(shown).first).to_be_visible()
        assert unmarked(page) == [], path


def test_no_text_of_the_pages_before_the_sign_in_is_outside_the_catalogue(
    page: Page, redis_server: RedisServer, spool: Spool, tmp_path: Path, quick_passwords: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(languages, "catalogue", pseudo)
    with signed_in_web(redis_server, spool, tmp_path) as web:
        page.goto(f"{web.address}/sign-in")
        page.locator("[name=name]").fill("ann")
        page.locator("[name=password]").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator(".wrong")).to_be_visible()
        assert unmarked(page) == []
        page.goto(f"{web.address}/locked")
        expect(page.locator("#unread-high")).to_contain_text("⟦")
        assert unmarked(page) == []


def test_german_is_chosen_kept_and_fits_a_narrow_screen(browser: Browser, place: tuple[str, Sources]) -> None:
    address, _ = place
    with watched(browser, width=360, height=760) as page:
        open_list(page, address)
        page.locator("#language").select_option("de")
        expect(page).to_have_title("(1) Arbeitsliste · cxr-triage")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(page.locator("#rows tr").first).to_contain_text("Auffällig")
        _fits(page)
        page.context.clear_cookies()  # another workstation of the same user
        page.reload()
        expect(page.locator("html")).to_have_attribute("lang", "de")
        page.locator("#rows tr").first.click()
        expect(page.locator("#scope")).to_have_text("KI-Triage, nicht bestätigt, nur Frontalaufnahmen")
        expect(page.locator("#findings")).to_contain_text("0,910")
        _fits(page)
        page.goto(f"{address}/operations")
        expect(page.locator(".tile").first).to_contain_text("Warteschlange")
        _fits(page)


def _fits(page: Page) -> None:
    """Nothing is wider than the screen, or cut off in its button."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    is_wide = "each.scrollWidth > each.clientWidth"
    assert (
        page.evaluate(f"[...document.querySelectorAll('main')].filter((each) => {is_wide}).map((each) => each.id)")
        == []
    )
    is_cut = "each.scrollWidth > each.clientWidth + 1"
    cut = f"[...document.querySelectorAll('button')].filter((each) => {is_cut}).map((each) => each.textContent)"
    assert page.evaluate(cut) == []
