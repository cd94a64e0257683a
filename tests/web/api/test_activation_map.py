"""The activation map over the image on the worklist page, in a real browser, and what the API answers of it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.builders import a_map
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from tests.support.worklist_page import served, tagged
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, to_record
from triage.decision.types import Tag, TriageDecision
from triage.model.card import ModelCard
from triage.model.card_finding import PointingGame
from triage.model.card_library import CardLibrary
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.auth.route_rules import RULES

ROWS, COLUMNS = 120, 60
MAP = a_map(hot=(4, 0))  # lower left: a fifth of the rows and of the columns

# Where the canvas is coloured most, in pixels of the image: left, top, right, bottom; null if all of it is grey.
COLOURED = """(state) => {
  const canvas = document.getElementById("image");
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const colour = (index) => data[index] - data[index + 2];
  let most = 0;
  for (let index = 0; index < data.length; index += 4) most = Math.max(most, colour(index));
  if (most < 20) return null;
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    if (colour(4 * (y * width + x)) < 0.97 * most) continue;
    const column = state.centre.x + (x + 0.5 - width / 2) / state.zoom;
    const row = state.centre.y + (y + 0.5 - height / 2) / state.zoom;
    box[0] = Math.min(box[0], column); box[1] = Math.min(box[1], row);
    box[2] = Math.max(box[2], column); box[3] = Math.max(box[3], row);
  }
  return box;
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        yield opened


def a_game(low: float = 0.4, chance: float = 0.1) -> dict[str, Any]:
    hits = {"value": low + 0.1, "low": low, "high": low + 0.2, "method": "95 %, exact binomial", "n": 80}
    return {"cohort": "boxes of a test", "reference": "drawn", "hits": hits, "chance": chance}


class Library(CardLibrary):
    """One card stands for every model; ``games`` of its finding."""

    def __init__(self, models: Path, *games: dict[str, Any]) -> None:
        super().__init__()
        card = write_model(models, "tiny", cam=True)
        finding = card.leading.model_copy(update={"pointing_game": tuple(map(PointingGame.model_validate, games))})
        self.card = card.model_copy(update={"findings": (finding,)})

    def of(self, model_digest: str | None) -> ModelCard:
        return self.card


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("models"), a_game())


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool, library: Library) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool, maps=True, cards=library) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def mapped(sources: Sources, number: int = 1, **found: Any) -> TriageDecision:
    values = {"size": ROWS, "columns": COLUMNS, "activation_map": MAP, **found}
    return tagged(sources.spool, sources.worklist, number, Tag.ABNORMAL, **values)


def opened(page: Page, address: str, decision: TriageDecision) -> dict[str, Any]:
    """Open the study; how its image is shown."""
    page.goto(f"{address}/studies/{decision.study_instance_uid}")
    expect(page.locator("#image")).to_have_attribute("aria-label", f"Radiograph, {COLUMNS} by {ROWS} pixels")
    return wait_for(lambda: view_state(page), "the image to be drawn")


def view_state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.locator("#image").get_attribute("data-state") or "{}")
    return found


def state_in_which(page: Page, holds: Any, what: str) -> dict[str, Any]:
    return wait_for(lambda: (now := view_state(page)) and holds(now) and now, what)


def expect_in_the_hot_cell(page: Page, state: dict[str, Any]) -> None:
    """The colour reaches from the corner of the image to the middle of the cell, and no further."""
    left, top, right, bottom = page.evaluate(COLOURED, state)
    assert (left, bottom) == pytest.approx((0, ROWS), abs=1)
    assert right == pytest.approx(COLUMNS / 10, abs=COLUMNS / 40)  # an eighth of a cell
    assert top == pytest.approx(ROWS * 0.9, abs=ROWS / 40)


def test_m_lays_the_map_where_it_belongs_and_it_follows_zoom_and_pan(page: Page, place: tuple[str, Sources]):
    address, sources = place
    state = opened(page, address, mapped(sources))
    assert state["overlay"] is None
    assert page.evaluate(COLOURED, state) is None  # at first the image alone

    page.keyboard.press("m")
    state = state_in_which(page, lambda now: now["overlay"] is not None, "the map")
    expect_in_the_hot_cell(page, state)
    expect(page.locator("#map")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#map-text")).to_contain_text("rsna-adult 1: what drew the score of 0.910")
    expect(page.locator("#map-text")).to_contain_text("outlines no finding")

    page.keyboard.press("+")
    zoomed = state_in_which(page, lambda now: now["zoom"] > state["zoom"], "the zoom")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    lowest = zoomed["centre"]["y"] + 1.5 * 60 / zoomed["zoom"]
    state = state_in_which(page, lambda now: now["centre"]["y"] > lowest, "the pan")
    expect_in_the_hot_cell(page, state)

    page.keyboard.press(".")
    stronger = state_in_which(page, lambda now: now["overlay"] == 0.6, "more opacity")
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowLeft")  # the slider's own key
    state_in_which(page, lambda now: now["overlay"] == 0.5 and now["centre"] == stronger["centre"], "less opacity")
    page.keyboard.press("m")  # works from the slider too
    state = state_in_which(page, lambda now: now["overlay"] is None, "the map to go")
    assert page.evaluate(COLOURED, state) is None
    expect(page.locator("#map-legend")).to_be_hidden()


def test_the_map_is_off_when_another_study_is_opened(page: Page, place: tuple[str, Sources]):
    address, sources = place
    first, second = mapped(sources, 1, age_s=500), mapped(sources, 2, age_s=400)
    opened(page, address, first)
    page.locator("#map").click()
    state_in_which(page, lambda now: now["overlay"] is not None, "the map")
    expect(page.locator("#listed")).to_have_text("2")
    page.keyboard.press("j")
    page.wait_for_url(f"**/studies/{second.study_instance_uid}")
    state_in_which(page, lambda now: now["overlay"] is None, "the next image")
    expect(page.locator("#map")).to_have_attribute("aria-pressed", "false")


def test_where_there_is_no_map_the_page_says_why(page: Page, place: tuple[str, Sources]):
    address, sources = place
    none = mapped(sources, 1, activation_map=None, no_map="rsna-adult 1 has no activation map")
    opened(page, address, none)
    page.keyboard.press("m")
    expect(page.locator("#toast")).to_have_text("No activation map: rsna-adult 1 has no activation map.")
    assert view_state(page)["overlay"] is None
    expect(page.locator("#map")).to_have_attribute("title", "No activation map: rsna-adult 1 has no activation map.")


def test_a_map_of_another_score_than_the_page_says_renews_what_it_says(page: Page, place: tuple[str, Sources]):
    address, sources = place
    decision = mapped(sources)
    opened(page, address, decision)
    expect(page.locator("#about")).to_contain_text("probability 0.910")
    again(sources.spool, decision, probability=0.973, model_id="rsna-adult 2", model_digest="d" * 64)

    page.keyboard.press("m")
    expect(page.locator("#map-text")).to_contain_text("rsna-adult 2: what drew the score of 0.973")
    expect(page.locator("#about")).to_contain_text("probability 0.973")


def again(spool: Spool, decision: TriageDecision, **changes: Any) -> None:
    """The image is scored anew."""
    (record,) = spool.assessments(decision.study_instance_uid)
    assessment = replace(assessment_from(record), **changes)
    instance = ReceivedInstance(decision.study_instance_uid, assessment.sop_instance_uid, assessment.content_digest)
    spool.write_assessment(instance, to_record(assessment))


def test_where_the_site_shows_none_there_is_nothing_of_it(page: Page, redis_server: RedisServer, spool: Spool):
    with served(redis_server, spool) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        decision = mapped(sources)
        opened(page, address, decision)
        page.keyboard.press("m")
        expect(page.locator("#map")).to_be_hidden()
        expect(page.locator("#toast")).to_be_hidden()
        answer = httpx.get(path_of(address, spool, decision), trust_env=False, timeout=60)
        assert answer.status_code == 404
        assert "web.activation_map" in answer.json()["error"]


def path_of(address: str, spool: Spool, decision: TriageDecision) -> str:
    (record,) = spool.assessments(decision.study_instance_uid)
    name = f"{record['sop_instance_uid']}+{record['content_digest']}"
    return f"{address}/api/studies/{decision.study_instance_uid}/images/{name}/map"


def test_the_api_gives_the_map_with_its_score_its_model_and_its_place(place: tuple[str, Sources]):
    address, sources = place
    decision = mapped(sources, activation_map=a_map(hot=(4, 0), top=-0.1, bottom=0.9))
    with httpx.Client(trust_env=False, timeout=60) as ask:
        path = path_of(address, sources.spool, decision)
        answer = ask.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        found = answer.json()
        assert (found["model_id"], found["model_digest"]) == ("rsna-adult 1", "b" * 64)
        assert (found["probability"], found["operating_point"]) == (0.91, 0.5)
        assert found["cells_cover"] == {"top": -0.1, "left": 0.0, "bottom": 0.9, "right": 1.0}
        assert found["cells"][4][0] == 12.0
        assert b64decode(found["picture"])[:8] == b"\x89PNG\r\n\x1a\n"

        assert ask.get(path.replace("/map", "x/map")).status_code == 400
        assert ask.get(path.replace(decision.study_instance_uid, "1.2.999", 1)).status_code in (400, 404)
        other = path.rpartition("+")[0] + "+" + "f" * 64 + "/map"
        assert ask.get(other).status_code == 404
        unscored = tagged(sources.spool, sources.worklist, 5, Tag.NOT_ASSESSED, reasons=(Reason.AGE_UNKNOWN,))
        answer = ask.get(path_of(address, sources.spool, unscored))
        assert (answer.status_code, answer.json()["error"]) == (
            404,
            "there is no activation map: the image was not scored",
        )


@pytest.mark.parametrize(
    ("games", "why"),
    [
        ((), "no pointing game of tiny 1 is stated: it was never shown that its map points at anything"),
        ((a_game(low=0.1),), "the map of tiny 1 does not point at brightness better than chance"),
        ((a_game(), a_game(low=0.05)), "the map of tiny 1 does not point at brightness better than chance"),
    ],
    ids=["none", "chance", "chance in one cohort"],
)
def test_without_evidence_that_it_points_there_is_no_map(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, games: tuple[dict[str, Any], ...], why: str
):
    with served(redis_server, spool, maps=True, cards=Library(tmp_path, *games)) as (address, sources):
        answer = httpx.get(path_of(address, spool, mapped(sources)), trust_env=False, timeout=60)
        assert (answer.status_code, answer.json()["error"]) == (404, f"there is no activation map: {why}")


def test_without_the_card_of_the_model_there_is_no_map(redis_server: RedisServer, spool: Spool):
    with served(redis_server, spool, maps=True) as (address, sources):
        decision = mapped(sources)
        answer = httpx.get(path_of(address, spool, decision), trust_env=False, timeout=60)
        assert answer.status_code == 404
        assert "the card of rsna-adult 1 is not installed here" in answer.json()["error"]
        study = httpx.get(f"{address}/api/studies/{decision.study_instance_uid}", trust_env=False).json()
        assert ["is not installed here" in why for why in study["maps"].values()] == [True]


def test_it_is_guarded_and_audited_like_the_image():
    image = "GET /api/studies/{study_instance_uid}/images/{name}"
    assert RULES[f"{image}/map"] == RULES[image]
