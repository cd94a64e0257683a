"""The worklist page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.findings import a_score, scored, states
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from tests.support.worklist_page import served, tagged
from triage.decision.correction import correction_of
from triage.decision.reasons import Reason
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.spool.recall_file import add_correction
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.worklist import reader_acts as reading

BRIGHT = """() => {
  const canvas = document.getElementById("image");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, index) => index % 4 < 3 && value > 100);
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose every script error fails the test."""
    with watched(browser, width=1400, height=850) as opened:
        yield opened


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def test_studies_come_live_in_reading_order_and_leave_when_read(page: Page, place: tuple[str, Sources]):
    address, sources = place
    spool, index = sources.spool, sources.worklist
    tagged(spool, index, 1, Tag.NORMAL, age_s=900)
    tagged(spool, index, 2, Tag.NOT_ASSESSED, age_s=600, reasons=(Reason.AGE_UNKNOWN,))
    page.goto(address)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(2)

    abnormal = tagged(spool, index, 3, Tag.ABNORMAL, age_s=120)
    expect(rows).to_have_count(3)  # without a reload
    expect(rows.nth(0)).to_contain_text("ACC-0003")
    expect(rows.nth(0)).to_contain_text("Abnormal")
    expect(rows.nth(0)).to_contain_text("2 min")
    expect(rows.nth(2)).to_contain_text("age unknown")

    page.keyboard.press("k")  # what was selected before it came is still selected
    expect(rows.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("r")
    expect(rows).to_have_count(2)
    uid = abnormal.study_instance_uid
    (step,) = reading.acts_of(spool, uid)
    assert (step.act, step.who, step.through, step.revision) == ("read", "local", "page", abnormal.revision)

    page.locator("#which").select_option("READ")
    expect(rows).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("r")  # R never puts back
    expect(page.locator("#toast")).to_contain_text("It is read already.")
    page.keyboard.press("p")
    expect(rows).to_have_count(0)
    assert reading.leaving_act(reading.acts_of(spool, uid)) is None


def test_a_row_that_is_pressed_while_the_list_changes_is_the_one_that_opens(page: Page, place: tuple[str, Sources]):
    address, sources = place
    pressed = tagged(sources.spool, sources.worklist, 1, Tag.NORMAL, age_s=900)
    page.goto(address)
    page.locator("#rows tr").nth(0).hover()
    page.mouse.down()
    with page.expect_response("**/api/list") as answered:
        tagged(sources.spool, sources.worklist, 2, Tag.ABNORMAL, age_s=120)
    answered.value.finished()
    page.mouse.up()
    page.wait_for_url(f"**/studies/{pressed.study_instance_uid}")


def test_it_is_searched_and_filtered(page: Page, place: tuple[str, Sources]):
    address, sources = place
    for number, tag in enumerate([Tag.NORMAL, Tag.ABNORMAL, Tag.NORMAL, Tag.NORMAL]):
        tagged(sources.spool, sources.worklist, number, tag)
    page.goto(address)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(4)
    page.keyboard.press("/")
    page.keyboard.type("acc-0002")
    expect(rows).to_have_count(1)
    page.locator("#search").fill("modality0")
    expect(rows).to_have_count(2)
    page.locator("#search").fill("")
    page.locator("#which").select_option("ABNORMAL")
    expect(rows).to_have_count(1)
    page.locator("#search").fill("nothing like it")
    expect(page.locator("#empty")).to_have_text("Nothing matches.")
    page.locator("#which").select_option("")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    page.locator("#search").fill("chest pHant")
    expect(rows).to_have_count(4)
    expect(page.locator("#found")).to_have_text("4 studies")
    assert f"POST {address}/api/list" in asked
    assert not [each for each in asked if "hant" in each]  # a patient's name stands in no address


def view_state(page: Page) -> dict[str, Any]:
    """Return the state of the image view; empty without an image."""
    found: dict[str, Any] = json.loads(page.locator("#image").get_attribute("data-state") or "{}")
    return found


def test_a_study_is_opened_windowed_disagreed_with_and_read_by_keys_alone(page: Page, place: tuple[str, Sources]):
    address, sources = place
    first = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL, age_s=500)
    second = tagged(sources.spool, sources.worklist, 2, Tag.ABNORMAL, age_s=400)
    page.goto(address)
    expect(page.locator("#rows tr")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.locator("#patient")).to_have_text("PHANTOM, CHEST")
    expect(page.locator("#image")).to_have_attribute("aria-label", "Radiograph, 96 by 96 pixels")
    before = wait_for(lambda: view_state(page), "the image to be drawn")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("+")
    after = wait_for(lambda: (now := view_state(page))["zoom"] > before["zoom"] and now, "the zoom")
    assert after["width"] > before["width"]
    # The canvas shows the phantom and not a black screen.
    assert page.evaluate(BRIGHT)

    page.keyboard.press("d")
    page.keyboard.press("n")
    expect(page.locator("#disagree")).to_have_attribute("aria-pressed", "true")
    labels = reading.labels(reading.acts_of(sources.spool, first.study_instance_uid))
    assert {who: step.label for who, step in labels.items()} == {"local": 0}

    page.keyboard.press("r")  # and the next one opens
    page.wait_for_url(f"**/studies/{second.study_instance_uid}")
    page.keyboard.press("Escape")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


def test_what_the_pixels_say_of_the_projection_stands_beside_the_stated_view(page: Page, place: tuple[str, Sources]):
    address, sources = place
    said = {"view": "PA", "ap_share": 0.981, "view_contradicted": True}
    uid = tagged(sources.spool, sources.worklist, 1, **said).study_instance_uid
    (found,) = httpx.get(f"{address}/api/studies/{uid}", trust_env=False).json()["objects"]
    assert found["assessment"] | said == found["assessment"]
    assert found["assessment"]["projection"] == "stated PA; the pixels look AP (0.98)"

    page.goto(f"{address}/studies/{uid}")
    expect(page.get_by_text("stated PA; the pixels look AP (0.98): compare View Position")).to_be_visible()


def test_findings_stand_with_state_score_and_point_behind_what_they_are(page: Page, place: tuple[str, Sources]):
    address, sources = place
    effusion = a_score("effusion", 0.91, threshold=0.35, point="2026-11")
    results = scored(effusion, a_score("nodule", 0.1), a_score("device", 0.8, counts=False))["results"]
    uid = tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL, results=results).study_instance_uid
    found = httpx.get(f"{address}/api/studies/{uid}", trust_env=False).json()
    (entry,) = httpx.get(f"{address}/api/worklist", trust_env=False).json()["entries"]
    assert next(iter(entry)) == "scope"
    assert (entry["urgency"], states(decision_from(sources.spool.decision(uid) or {}).findings)) == (
        "urgent",
        {each["name"]: each["state"] for each in entry["findings"]},
    )
    (of_image,) = found["objects"]
    assert [each["assessed"] for each in of_image["assessment"]["findings"]] == [True, True, True]

    page.goto(f"{address}/studies/{uid}")
    expect(page.locator("#scope")).to_have_text("AI triage, unverified, of the frontal images")
    rows = page.locator("#findings tbody tr")
    expect(rows).to_have_text(
        [
            "Effusionpresent0.9100.350 (2026-11)urgent",
            "Noduleabsent0.1000.500",
            "Devicepresent (does not count)0.8000.500",
        ]
    )
    expect(page.locator("#looked-for")).to_have_text(
        "Looked for: Effusion (present), Nodule (absent), Device (present). Nothing else was looked for."
    )


def test_who_corrected_when_and_why_stands_with_the_study(page: Page, place: tuple[str, Sources]):
    address, sources = place
    decision = tagged(sources.spool, sources.worklist, 1)
    uid = decision.study_instance_uid
    with sources.spool.study_lock(uid):
        add_correction(
            sources.spool, uid, correction_of(decision, "A. Person", "a <b>bad</b> model", 1_800_000_000.0, {})
        )
    (shown,) = httpx.get(f"{address}/api/studies/{uid}", trust_env=False).json()["corrections"]
    assert shown["by"] == "A. Person"

    page.goto(f"{address}/studies/{uid}")
    expect(page.locator("#corrected")).to_contain_text("Corrected by A. Person")
    expect(page.locator("#corrected")).to_contain_text("a <b>bad</b> model")


def test_operations_show_a_dead_letter_that_is_requeued(page: Page, place: tuple[str, Sources]):
    from tests.support.service import a_chest, receive

    address, sources = place
    instance = receive(sources.spool, a_chest(7))
    sources.spool.bury(instance, {"error": "ValueError in scoring.py, line 1", "tries": 3, "buried_at": 1e9})
    page.goto(f"{address}/operations")
    expect(page.get_by_role("region", name="Dead letters").locator(".value")).to_have_text("1")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Untagged").locator(".value")).to_have_text("1")
    assert list(sources.spool.waiting()) == [instance]


def test_nonsense_and_other_sites_are_refused(place: tuple[str, Sources]):
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1).study_instance_uid
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as ask:
        target = f"/api/studies/{uid}/reading"
        assert ask.post(target, json={"read": True}, headers={"Origin": "http://evil.example"}).status_code == 403
        assert ask.post(target, json={"read": True}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert ask.post(target, data={"read": "true"}).status_code == 415
        assert ask.post(target, json={"read": "perhaps"}).status_code == 400
        assert ask.post(target, json={"read": True, "more": 1}).status_code == 400
        assert ask.post(target, content=b"x" * 9000).status_code == 413
        assert ask.post("/api/studies/1.2.999/reading", json={"read": True}).status_code == 404
        assert ask.post("/api/studies/1.2;x/reading", json={"read": True}).status_code == 400
        assert ask.post("/api/requeue", json={"key": "../../VERSION"}).status_code in (400, 404)
        assert ask.get(f"/api/studies/{uid}/images/..%2fdecision.json").status_code in (400, 404)
        assert ask.get("/api/worklist", params={"tag": "BAD"}).status_code == 400
        assert ask.get("/api/worklist", params={"q": "x" * 65}).status_code == 400
        assert reading.acts_of(sources.spool, uid) == []
        assert ask.post(target, json={"read": True}).status_code == 200
        assert ask.get("/api/worklist").json()["entries"] == []


def test_a_read_study_comes_back_when_an_image_changes_it_and_after_redis_was_lost(
    redis_server: RedisServer, spool: Spool, place: tuple[str, Sources]
):
    from dataclasses import replace

    from prometheus_client import CollectorRegistry

    from triage.metrics.reconcile import ReconcileMetrics
    from triage.operations.index_rebuild import rebuild

    index = place[1].worklist
    read, changed = (tagged(spool, index, number) for number in (1, 2))
    for each in (read, changed):
        marking = reading.Marking(reading.Act.READ, 2e9, "a", reading.Via.API)
        reading.mark(spool, index, each.study_instance_uid, marking)
    assert index.page(None, 10, 2e9).entries == ()
    later = replace(changed, revision="d" * 64, tagged_at=changed.tagged_at + 1)
    index.put(later)
    assert index.page(None, 10, 2e9).entries == (later,)
    redis_server.client().flushall()
    rebuild(spool, index, ReconcileMetrics(CollectorRegistry()))
    assert index.page(None, 10, 2e9).entries == ()  # as the spool has it
    assert {each.study_instance_uid for each in index.last_read(9)} == {
        read.study_instance_uid,
        changed.study_instance_uid,
    }
