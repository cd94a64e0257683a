"""The study's page in a real browser: two pictures, previews, turns, lengths, other studies and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import watched
from tests.support.redis_server import RedisServer
from tests.support.studies_of_patients import Patient, a_study
from tests.support.wait import wait_for
from tests.support.worklist_page import served, tagged
from triage.decision.types import Tag
from triage.model.card_library import CardLibrary
from triage.model.installed import models_folder
from triage.spool.spool import Spool
from triage.web.api.sources import Sources

# The mean grey of each quarter of a canvas: upper left, upper right, lower left, lower right.
QUARTERS = """(id) => {
  const canvas = document.getElementById(id);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const sums = [0, 0, 0, 0];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    sums[(y < height / 2 ? 0 : 2) + (x < width / 2 ? 0 : 1)] += data[4 * (y * width + x) + 1];
  }
  return sums.map((sum) => (4 * sum) / (width * height));
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser, width=1400, height=850) as opened:
        yield opened


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    cards = CardLibrary(lambda: models_folder(None))
    with served(redis_server, spool, cards=cards) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def state(page: Page, canvas: str = "image") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.locator(f"#{canvas}").get_attribute("data-state") or "{}")
    return found


def state_in_which(page: Page, holds: Any, what: str, canvas: str = "image") -> dict[str, Any]:
    return wait_for(lambda: (now := state(page, canvas)) and holds(now) and now, what)


def opened(page: Page, address: str, uid: str) -> dict[str, Any]:
    page.goto(f"{address}/studies/{uid}")
    return state_in_which(page, bool, "the image to be drawn")


def quarters(page: Page, canvas: str = "image") -> list[float]:
    found: list[float] = page.evaluate(QUARTERS, canvas)
    return found


def test_a_preview_comes_first_is_marked_and_is_replaced_without_a_move(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1, size=2100).study_instance_uid
    held: list[Route] = []
    page.route(lambda url: "/images/" in url and not url.endswith("/preview"), lambda route: held.append(route))
    before = opened(page, address, uid)
    expect(page.locator("#image")).to_have_attribute("aria-label", "Radiograph, 2100 by 2100 pixels")
    expect(page.locator("#preview")).to_have_text("Preview: the full picture is being loaded")
    assert before["level_of_detail"] == 2
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("+")
    page.keyboard.press("ArrowDown")
    changed = state_in_which(page, lambda now: now["centre"] != before["centre"], "the pan")
    wait_for(lambda: held, "the whole picture to be asked for")
    held[0].continue_()
    after = state_in_which(page, lambda now: now["level_of_detail"] == 0, "the whole picture")
    assert after == changed | {"level_of_detail": 0}
    expect(page.locator("#preview")).to_be_hidden()


def test_a_picture_that_does_not_come_leaves_a_preview_that_says_so(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1, size=1100).study_instance_uid
    page.route(lambda url: "/images/" in url and not url.endswith("/preview"), lambda route: route.abort())
    opened(page, address, uid)
    expect(page.locator("#preview")).to_contain_text("Preview only, the full picture did not come: The server does not")
    page.unroute_all()
    page.get_by_role("button", name="Load it again").click()
    expect(page.locator("#preview")).to_be_hidden()


def test_of_several_images_one_comes_whole(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = a_study(sources, "two", Patient(), views=("PA", "LL"), size=1100)
    asked: list[str] = []
    page.on("request", lambda request: "/images/" in request.url and asked.append(request.url))
    opened(page, address, uid)
    state_in_which(page, lambda now: now["level_of_detail"] == 0, "the whole picture")
    assert len({url for url in asked if not url.endswith("/preview")}) == 1
    assert len({url for url in asked if url.endswith("/preview")}) == 1


def test_turned_and_mirrored_is_on_the_picture_and_its_letters_turn_with_it(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = a_study(sources, "corner", Patient(), corner=True)
    opened(page, address, uid)
    expect(page.locator("#pane .edge.left")).to_have_text("R")
    expect(page.locator("#turned")).to_be_hidden()
    bright = [0, 1, 3, 2]  # the quarter of the bright corner, as it goes clockwise
    for turns in range(4):
        state_in_which(page, lambda now, turns=turns: now["turns"] == turns, "the turn")
        values = quarters(page)
        assert values.index(max(values)) == bright[turns]
        page.keyboard.press("t")
    state_in_which(page, lambda now: now["turns"] == 0, "the first place again")

    page.keyboard.press("x")
    state_in_which(page, lambda now: now["mirrored"], "the mirror image")
    expect(page.locator("#turned")).to_have_text("MIRRORED: left and right are exchanged")
    assert quarters(page).index(max(quarters(page))) == 1
    edges = {edge: page.locator(f"#pane .edge.{edge}") for edge in ("left", "right", "top", "bottom")}
    expect(edges["left"]).to_have_text("L")
    page.keyboard.press("t")
    expect(page.locator("#turned")).to_have_text("MIRRORED: left and right are exchanged · TURNED by 90°")
    assert quarters(page).index(max(quarters(page))) == 3
    assert {edge: each.text_content() for edge, each in edges.items()} == {
        "left": "F",
        "right": "H",
        "top": "L",
        "bottom": "R",
    }
    page.keyboard.press("x")  # mirrored on the screen again: turned alone, the other way
    expect(page.locator("#turned")).to_have_text("TURNED by 270°")
    page.keyboard.press("0")
    expect(page.locator("#turned")).to_be_hidden()


def test_a_length_is_the_same_however_the_picture_is_shown(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = tagged(sources.spool, sources.worklist, 1, size=100).study_instance_uid  # 4 mm a pixel
    opened(page, address, uid)
    page.keyboard.press("l")
    length = page.locator("#length")
    said = "80.0 mm at the detector, magnified: shorter in the patient"
    expect(length).to_have_text(said)
    for key in "t+x-1if":
        page.keyboard.press(key)
        expect(length).to_have_text(said)
    page.keyboard.press("0")
    at_first = state_in_which(page, lambda now: now["turns"] == 0 and not now["mirrored"], "the first view")
    page.keyboard.press("ArrowRight")  # the end of the line, and not the image
    longer = f"{80 + 4 * 5 / at_first['zoom']:.1f} mm at the detector"
    expect(length).to_contain_text(longer)
    page.keyboard.press("Shift+ArrowLeft")
    expect(length).to_contain_text(f"{80 + 8 * 5 / at_first['zoom']:.1f} mm")
    assert state(page)["centre"] == at_first["centre"]

    box = page.locator("#image").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 100, middle[1])
    page.mouse.up()
    expect(length).to_contain_text(f"{4 * 100 / at_first['zoom']:.1f} mm")
    assert state(page)["level"] == at_first["level"]
    page.keyboard.press("z")  # magnified, the line would lie elsewhere than it seems
    expect(length).to_be_hidden()
    page.keyboard.press("l")
    state_in_which(page, lambda now: not now["magnified"], "the picture without a magnifier")
    page.keyboard.press("Escape")  # ends the ruler, and not the study
    expect(length).to_be_hidden()
    assert f"/studies/{uid}" in page.url


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"ImagerPixelSpacing": None}, "No ruler: the object states neither Pixel Spacing nor Imager Pixel Spacing."),
        ({"ImagerPixelSpacing": [4, 5]}, "No ruler: its pixels are not square."),
        ({"PixelSpacing": [5, 5], "ImagerPixelSpacing": [4, 4]}, "No ruler: its Pixel Spacing is larger than that at"),
        (
            {"PixelSpacing": [3, 3], "PixelSpacingCalibrationType": "FIDUCIAL"},
            "mm by Pixel Spacing, calibration FIDUCIAL",
        ),
        (
            {"PixelSpacing": [3, 3], "ImagerPixelSpacing": None},
            "whether it was corrected for magnification is not known",
        ),
    ],
)
def test_a_length_stands_with_what_it_means_or_not_at_all(
    page: Page, place: tuple[str, Sources], attributes: dict[str, Any], said: str
):
    address, sources = place
    opened(page, address, a_study(sources, "spaced", Patient(), attributes=attributes))
    page.locator("#ruler").click()
    expect(page.locator("#length")).to_contain_text(said)


def test_two_pictures_change_together_until_they_are_not_linked(page: Page, place: tuple[str, Sources]):
    address, sources = place
    prior = a_study(sources, "prior", Patient("7", "NORTH"), date="20240102")
    uid = a_study(sources, "current", Patient("7", "NORTH"), date="20260101")
    opened(page, address, uid)
    expect(page.locator("#not-primary")).to_be_visible()
    expect(page.locator(".other-study")).to_have_count(1)
    expect(page.locator(".other-study")).to_contain_text("2024-01-02")
    page.keyboard.press("e")
    second = state_in_which(page, bool, "the prior", "image-2")
    first = state(page)
    expect(page.locator("#caption-2")).to_have_text("Another study, 2024-01-02, DX PA")
    expect(page.locator("#caption")).to_contain_text("This study, 2026-01-01")
    expect(page.locator("#not-primary")).to_be_visible()

    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowRight")
    zoomed = [
        state_in_which(page, lambda now: now["centre"]["x"] != first["centre"]["x"], "both", each)
        for each in ("image", "image-2")
    ]
    assert zoomed[0]["zoom"] / first["zoom"] == pytest.approx(zoomed[1]["zoom"] / second["zoom"])
    assert zoomed[0]["width"] / first["width"] == pytest.approx(zoomed[1]["width"] / second["width"])
    page.keyboard.press("t")  # which side is which is a matter of one picture
    state_in_which(page, lambda now: now["turns"] == 1, "the prior alone to turn", "image-2")
    assert state(page)["turns"] == 0

    page.locator("#linked").click()
    page.keyboard.press("i")
    state_in_which(page, lambda now: not now["rising"], "the prior alone", "image-2")
    assert state(page)["rising"]
    page.keyboard.press("v")
    page.keyboard.press("i")
    state_in_which(page, lambda now: not now["rising"], "the current one")
    page.keyboard.press("b")
    expect(page.locator("#pane-2")).to_be_hidden()

    page.get_by_role("button", name="Open: 2024-01-02").click()
    page.wait_for_url(f"**/studies/{prior}")
    expect(page.locator("#patient")).to_be_visible()
    expect(page.locator("#pane-2")).to_be_hidden()


def test_on_a_narrow_screen_nothing_covers_a_picture_and_the_warning_stays(
    browser: Browser, place: tuple[str, Sources]
):
    address, sources = place
    uid = a_study(sources, "two", Patient(), views=("PA", "LL"))
    with watched(browser, width=360, height=800) as page:
        opened(page, address, uid)
        page.locator("#two").click()
        state_in_which(page, bool, "the second view", "image-2")
        boxes = [page.locator(f"#{name}").bounding_box() for name in ("pane", "pane-2", "about")]
        assert all(one and two and one["y"] + one["height"] <= two["y"] for one, two in pairwise(boxes))
        for pane in ("pane", "pane-2"):
            page.locator(f"#{pane}").scroll_into_view_if_needed()
            expect(page.locator("#not-primary")).to_be_in_viewport()


def test_two_views_of_a_study_stand_next_to_each_other(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = a_study(sources, "two", Patient(), views=("PA", "LL"))
    opened(page, address, uid)
    page.locator("#two").click()
    expect(page.locator("#caption")).to_have_text("This study, 2026-01-01, DX PA")
    expect(page.locator("#caption-2")).to_have_text("This study, 2026-01-01, DX LATERAL")
    state_in_which(page, bool, "the second view", "image-2")


def test_patients_of_two_issuers_are_never_mixed_and_an_id_alone_says_so(page: Page, place: tuple[str, Sources]):
    address, sources = place
    a_study(sources, "south", Patient("7", "SOUTH"))
    north = a_study(sources, "north", Patient("7", "NORTH"))
    opened(page, address, north)
    expect(page.locator("#other-studies")).to_contain_text(
        "No other study with this Patient ID and issuer is kept here."
    )
    alone = a_study(sources, "alone", Patient("8", ""))
    a_study(sources, "alone too", Patient("8", ""), date="20250101")
    opened(page, address, alone)
    expect(page.locator(".other-study .warning")).to_have_text(
        "Patient ID without issuer: may be another hospital's patient"
    )
    page.get_by_role("button", name="Next to it: 2025-01-01").click()
    expect(page.locator("#caption-2")).to_contain_text("ID without issuer: may be another patient's")
    expect(page.get_by_text("ID 8 (issuer not stated)")).to_be_visible()


def test_what_goes_wrong_with_other_studies_is_said_in_their_place(page: Page, place: tuple[str, Sources]):
    address, sources = place
    uid = a_study(sources, "one", Patient("7", "NORTH"))
    refused = {"status": 503, "content_type": "application/json", "body": '{"error": "the disk is away"}'}
    page.route("**/patient", lambda route: route.fulfill(**refused))
    opened(page, address, uid)
    expect(page.locator("#other-studies .warning")).to_have_text("the disk is away")
    expect(page.locator("#trouble")).to_be_hidden()
    for key in "be":  # "there is none" is not known
        page.keyboard.press(key)
        expect(page.locator("#toast")).to_contain_text("It is not known yet whether this patient has other pictures")
    page.unroute_all()
    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#other-studies")).to_contain_text("No other study with this Patient ID and issuer")
    page.keyboard.press("b")
    expect(page.locator("#toast")).to_have_text("There is no other picture to be put next to it.")


def test_the_next_study_opens_by_mouse_and_upright(page: Page, place: tuple[str, Sources]):
    address, sources = place
    first, second = (tagged(sources.spool, sources.worklist, number, age_s=900 - 100 * number) for number in (1, 2))
    opened(page, address, first.study_instance_uid)
    page.locator("#preset").select_option("narrow")
    page.get_by_role("button", name="Turn").click()
    page.get_by_role("button", name="Magnify").click()
    state_in_which(page, lambda now: now["turns"] == 1 and now["magnified"], "the turn")
    expect(page.locator("#listed")).to_have_text("2")
    page.locator("#next-study").click()
    page.wait_for_url(f"**/studies/{second.study_instance_uid}")
    state_in_which(page, lambda now: not now["turns"] and not now["magnified"], "the next study")
    expect(page.locator("#preset")).to_have_value("opened")
    page.locator("#previous-study").click()
    page.wait_for_url(f"**/studies/{first.study_instance_uid}")


def test_windows_by_name_and_the_magnifier_change_what_is_seen(page: Page, place: tuple[str, Sources]):
    address, sources = place
    shown = opened(page, address, tagged(sources.spool, sources.worklist, 1, Tag.ABNORMAL, size=300).study_instance_uid)
    for preset in ("everything", "middle", "narrow", "wide", "opened"):
        page.keyboard.press("w")
        expect(page.locator("#preset")).to_have_value(preset)
    assert state_in_which(page, lambda now: now["width"] == shown["width"], "the first window") == shown
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#preset")).to_have_value("")
    page.keyboard.press("0")
    state_in_which(page, lambda now: now["width"] == shown["width"], "the first window")
    before = quarters(page)
    page.keyboard.press("z")
    state_in_which(page, lambda now: now["magnified"], "the magnifier")
    assert quarters(page) != before
    page.keyboard.press("z")
    state_in_which(page, lambda now: not now["magnified"], "no magnifier")
    assert quarters(page) == before


def test_what_was_looked_for_by_which_model_and_how_well_it_does_is_one_click_away(
    page: Page, place: tuple[str, Sources]
):
    address, sources = place
    folder = models_folder(None)
    card = next(
        each for path in sorted(folder.glob("*/card.json")) if (each := CardLibrary(lambda: folder).of(_digest(path)))
    )
    uid = tagged(
        sources.spool, sources.worklist, 1, model_id=card.model_id, model_digest=card.model_sha256
    ).study_instance_uid
    opened(page, address, uid)
    expect(page.locator(".model")).to_contain_text(f"Model {card.model_id}, revision {card.model_sha256[:12]}")
    page.get_by_role("button", name="Figures").click()
    expect(page.locator("#figures-title")).to_contain_text(card.model_id)
    tables = page.locator(".figures-table")
    expect(tables.first.locator("caption")).to_contain_text(card.leading.performance[0].cohort)
    for row in page.locator(".figures-table tbody tr").all():
        assert len([cell for cell in row.locator("th, td").all_text_contents() if cell]) == 5
    page.keyboard.press("Escape")
    expect(page.locator("#figures")).to_be_hidden()
    assert f"/studies/{uid}" in page.url

    unscored = tagged(sources.spool, sources.worklist, 2, Tag.NOT_ASSESSED, model_id=None, model_digest=None)
    opened(page, address, unscored.study_instance_uid)
    expect(page.locator("#looked-for")).to_have_text("Nothing was looked for: no image was assessed.")


def _digest(card: Any) -> str:
    found: str = json.loads(card.read_text())["model_sha256"]
    return found


HOSTILE = (
    "<img src=x onerror=document.title='RAN'>",
    "\"><script>document.title='RAN'</script>",
    "${7*7}{{7*7}}%s\\r\\nX-Header: 1",
    "שלום \u202eevil\u202c",
    "a" * 60,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_a_sender_run_nothing_and_break_no_line(page: Page, place: tuple[str, Sources], text: str):
    address, sources = place
    patient = Patient("7", "NORTH", name=text)
    attributes = {"StudyDescription": text, "PatientOrientation": ["<b>", "F"], "PixelSpacingCalibrationType": "X"}
    a_study(sources, "other", patient, date="20240102", attributes=attributes)
    uid = a_study(sources, "hostile", patient, attributes=attributes)
    opened(page, address, uid)
    expect(page.locator(".other-study")).to_contain_text(text.strip()[:20])
    page.keyboard.press("e")
    state_in_which(page, bool, "the prior", "image-2")
    assert page.title().endswith("Study · cxr-triage")
    assert page.locator("#about img, #about script, .pane img, .pane script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "(() => { const box = document.querySelector('#about'); return box.scrollWidth <= box.clientWidth; })()"
    )
