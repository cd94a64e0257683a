"""The reader study's page in a real browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.reader_study import a_study, served, write_cases
from tests.support.wait import wait_for
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.reader_study.answers import read_progress, read_records
from triage.reader_study.labels import write_labels
from triage.reader_study.progress import ReaderAnswer
from triage.reader_study.study import ReaderStudy, begin_or_resume


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose every script error fails the test."""
    with watched(browser, width=1000, height=700) as opened:
        yield opened


def link(study: ReaderStudy, address: str, reader: str = "anna") -> str:
    return f"{address}/r/{study.tokens[reader]}/"


def begin(page: Page, url: str) -> None:
    """Open the page and the first case that is left."""
    page.goto(url)
    page.locator("#go").click()
    until_shown(page)


def until_shown(page: Page) -> None:
    expect(page.locator("#normal")).to_be_enabled()


def answer_with(page: Page, key: str) -> None:
    """Answer by key and wait until it is saved."""
    page.keyboard.press(key)
    expect(page.locator({"n": "#normal", "a": "#abnormal"}[key])).to_have_attribute("aria-pressed", "true")


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.locator("#image").get_attribute("data-state") or "{}")
    return found


def changes(page: Page, act: Any) -> dict[str, tuple[Any, Any]]:
    """Return the parts of the view that an action changes."""
    before = state(page)
    act()
    after = wait_for(lambda: (now := state(page)) != before and now, "the view to change")
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def test_a_reader_goes_from_the_first_case_to_the_last_by_keys_alone(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=3, readers=("anna",))
    with served(study) as address:
        page.goto(link(study, address))
        expect(page.locator("#cover-title")).to_have_text("3 chest radiographs to read")
        page.keyboard.press("Enter")
        until_shown(page)
        expect(page.locator("#place")).to_have_text("Case 1 of 3")
        page.keyboard.press("Enter")  # no answer yet, and so no next
        expect(page.locator("#said")).to_contain_text("Answer first")
        for place, key in enumerate("nan"):
            expect(page.locator("#place")).to_have_text(f"Case {place + 1} of 3")
            until_shown(page)
            answer_with(page, key)
            page.keyboard.press("Enter")
        expect(page.locator("#cover-title")).to_have_text("Thank you")
        page.keyboard.press("Enter")  # one too many takes nothing back
        expect(page.locator("#cover-title")).to_have_text("Thank you")

    progress = read_progress(study.answers("anna"), 3)
    assert [progress.read[place].answer for place in range(3)] == [
        ReaderAnswer.NORMAL,
        ReaderAnswer.ABNORMAL,
        ReaderAnswer.NORMAL,
    ]
    write_labels(study)
    with (study.folder / "labels.csv").open() as file:
        labels = {Path(row["image"]).name: row["label"] for row in csv.DictReader(file)}
    assert labels == {f"case{case}.dcm": "010"[place] for place, case in enumerate(study.order("anna"))}


def test_an_answer_is_changed_taken_back_and_undone_across_cases(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=3, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        expect(page.locator("#undo")).to_be_disabled()
        answer_with(page, "n")
        answer_with(page, "a")
        expect(page.locator("#normal")).to_have_attribute("aria-pressed", "false")
        page.keyboard.press("u")
        expect(page.locator("#abnormal")).to_have_attribute("aria-pressed", "false")
        answer_with(page, "a")
        page.keyboard.press("Enter")
        expect(page.locator("#place")).to_have_text("Case 2 of 3")
        until_shown(page)
        page.locator("#undo").click()
        expect(page.locator("#place")).to_have_text("Case 1 of 3")
        until_shown(page)
        page.locator("#normal").click()
        expect(page.locator("#normal")).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("Enter")  # the focus has gone to Next
        expect(page.locator("#place")).to_have_text("Case 2 of 3")

    progress = read_progress(study.answers("anna"), 3)
    assert (progress.position, progress.read[0].answer) == (1, ReaderAnswer.NORMAL)


def test_a_page_that_is_closed_is_gone_on_with_where_it_was(page: Page, browser: Browser, tmp_path: Path):
    study = a_study(tmp_path, cases=3, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        answer_with(page, "a")
        page.keyboard.press("Enter")
        expect(page.locator("#place")).to_have_text("Case 2 of 3")
        until_shown(page)
        page.goto("about:blank")
        wait_for(lambda: read_records(study.answers("anna"))[-1].kind == "looked", "the time of what was left")
    with served(study) as address:
        page.goto(link(study, address))
        expect(page.locator("#cover-title")).to_have_text("Welcome back: 1 of 3 cases are read")
        page.locator("#go").click()
        until_shown(page)
        expect(page.locator("#place")).to_have_text("Case 2 of 3")


def test_the_image_is_windowed_panned_and_zoomed_by_keys(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        wait_for(lambda: state(page).get("fitted"), "the image")
        first = state(page)

        def press(key: str) -> dict[str, tuple[Any, Any]]:
            return changes(page, lambda: page.keyboard.press(key))

        was, now = press("Shift+ArrowDown")["level"]
        assert now > was
        was, now = press("Shift+ArrowLeft")["width"]
        assert now < was
        was, now = press("+")["zoom"]
        assert now > was
        was, now = press("ArrowRight")["centre"]
        assert now["x"] > was["x"]
        assert press("i") == {"rising": (True, False)}
        expect(page.locator("#view")).to_contain_text("inverted")
        assert press("1")["zoom"][1] == 1
        assert press("0")["fitted"] == (False, True)
        press("r")
        assert state(page) == first


def test_the_image_is_windowed_panned_and_zoomed_by_mouse(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        wait_for(lambda: state(page).get("fitted"), "the image")

        def drag(button: Any, dx: int, dy: int) -> dict[str, tuple[Any, Any]]:
            def act() -> None:
                page.mouse.move(500, 300)
                page.mouse.down(button=button)
                page.mouse.move(500 + dx, 300 + dy)
                page.mouse.up(button=button)

            return changes(page, act)

        windowed = drag("left", 50, -30)
        assert windowed.keys() == {"level", "width"}
        assert windowed["width"][1] > windowed["width"][0]
        assert windowed["level"][1] < windowed["level"][0]
        was, now = drag("right", 40, 0)["centre"]
        assert now["x"] < was["x"]
        page.mouse.move(500, 300)
        was, now = changes(page, lambda: page.mouse.wheel(0, -300))["zoom"]
        assert now > was
        page.locator("[data-do=reset]").click()
        wait_for(lambda: state(page)["fitted"], "the reset")


def shown_greys(page: Page, rows: int, columns: int) -> np.ndarray:
    """The image as it is on the screen, at one pixel to one; uint8 (rows, columns)."""
    page.keyboard.press("1")
    wait_for(lambda: state(page)["zoom"] == 1, "one to one")
    pixels = page.evaluate(
        """([rows, columns]) => {
            const canvas = document.getElementById("image");
            const [x, y] = [Math.round(canvas.width / 2 - columns / 2), Math.round(canvas.height / 2 - rows / 2)];
            return Array.from(canvas.getContext("2d").getImageData(x, y, columns, rows).data);
        }""",
        [rows, columns],
    )
    return np.asarray(pixels, dtype=np.uint8).reshape(rows, columns, 4)[:, :, 0]


def test_what_is_on_the_screen_is_what_the_service_decodes_and_the_shutter_is_black(page: Page, tmp_path: Path):
    from io import BytesIO

    from pydicom import dcmread

    pixels = draw(1, rows=96, columns=80)
    dataset = dcmread(BytesIO(as_dicom(pixels, PhantomSubject())))
    dataset.WindowCenter, dataset.WindowWidth = 1500, 1000
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    dataset.ShutterShape = "RECTANGULAR"
    dataset.ShutterLeftVerticalEdge, dataset.ShutterRightVerticalEdge = 11, 80
    dataset.ShutterUpperHorizontalEdge, dataset.ShutterLowerHorizontalEdge = 1, 96
    (tmp_path / "images").mkdir()
    dataset.save_as(tmp_path / "images" / "one.dcm")
    study = begin_or_resume(tmp_path / "study", tmp_path / "images", ["anna"])
    with served(study) as address:
        begin(page, link(study, address))
        wait_for(lambda: state(page).get("fitted"), "the image")
        seen = shown_greys(page, 96, 80).astype(float)

    expected = np.clip(1 - ((pixels - 1499.5) / 999 + 0.5), 0, 1) * 255
    expected[:, :10] = 0
    assert expected.std() > 30
    assert np.abs(seen - expected).max() <= 1


def test_two_readers_see_nothing_of_each_other(page: Page, browser: Browser, tmp_path: Path):
    study = a_study(tmp_path, cases=2)
    with served(study) as address:
        begin(page, link(study, address, "anna"))
        answer_with(page, "a")
        page.goto(link(study, address, "ben"))
        expect(page.locator("#cover-title")).to_have_text("2 chest radiographs to read")
        text = page.locator("body").inner_text() + page.content()
        for secret in ("anna", "case0", "SECRET", "PHANTOM", study.tokens["anna"]):
            assert secret not in text


def test_an_image_that_cannot_be_shown_is_passed(page: Page, tmp_path: Path):
    folder = write_cases(tmp_path / "images", 1)
    (folder / "broken.dcm").write_bytes(as_dicom(draw(1, rows=64, columns=64), PhantomSubject())[:3000])
    study = begin_or_resume(tmp_path / "study", folder, ["anna"])
    place = [study.cases[case].image.name for case in study.order("anna")].index("broken.dcm")
    with served(study) as address:
        page.goto(link(study, address))
        page.locator("#go").click()
        if place == 1:
            until_shown(page)
            answer_with(page, "n")
            page.keyboard.press("Enter")
        expect(page.locator("#broken")).to_contain_text("cannot be shown")
        expect(page.locator("#normal")).to_be_disabled()
        expect(page.locator("#next")).to_be_enabled()
        page.keyboard.press("Enter")
        wait_for(lambda: read_progress(study.answers("anna"), 2).position == place + 1, "the case to be passed")
    assert read_progress(study.answers("anna"), 2).read[place].answer is ReaderAnswer.UNREADABLE


def test_what_could_not_be_saved_is_said_and_tried_again(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
    page.keyboard.press("a")  # the server has ended
    expect(page.locator("#trouble")).to_contain_text("does not answer")
    expect(page.locator("#abnormal")).to_have_attribute("aria-pressed", "false")
    with served(study, port=int(address.rpartition(":")[2])):
        page.locator("#again").click()
        expect(page.locator("#abnormal")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#trouble")).to_be_hidden()
    assert read_progress(study.answers("anna"), 1).position == 1


def test_the_second_of_two_windows_is_told_to_load_anew(page: Page, browser: Browser, tmp_path: Path):
    study = a_study(tmp_path, cases=3, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        other = page.context.new_page()
        begin(other, link(study, address))
        for _ in range(2):
            answer_with(page, "n")
            page.keyboard.press("Enter")
            until_shown(page)
        other.keyboard.press("a")
        expect(other.locator("#trouble")).to_contain_text("another window")
        other.locator("#again").click()
        expect(other.locator("#cover-title")).to_have_text("Welcome back: 2 of 3 cases are read")


def test_a_pause_hides_the_case_and_stops_the_clock(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        page.clock.install()
        begin(page, link(study, address))
        page.clock.run_for(5_000)
        page.keyboard.press("p")
        expect(page.locator("#cover-title")).to_have_text("Paused")
        page.clock.run_for(600_000)
        page.keyboard.press("n")  # nothing is answered behind the cover
        page.keyboard.press("Enter")
        page.clock.run_for(2_000)
        page.keyboard.press("n")
        wait_for(lambda: read_records(study.answers("anna")), "the answer")
    (record,) = read_records(study.answers("anna"))
    # What passes between two commands of the test counts too, and is less than a minute.
    assert 7_000 <= record.elapsed_ms < 67_000


CLOCK = """async ([idle, steps]) => {
    const { Clock } = await import("/page/clock.js");
    let now = 1000;
    const clock = new Clock(idle, () => now);
    for (const [what, after, argument] of steps) {
        now += after;
        clock[what](argument);
    }
    return clock.peek();
}"""


@pytest.mark.parametrize(
    ("steps", "active", "elapsed"),
    [
        ([["start", 0], ["touch", 3000], ["stop", 2000]], 5000, 5000),
        ([["start", 0], ["touch", 100_000], ["stop", 2000]], 12_000, 102_000),  # of a long pause the first 10 s
        ([["start", 0], ["show", 4000, False], ["show", 60_000, True], ["stop", 1000]], 5000, 65_000),
        ([["touch", 0], ["touch", 5000], ["start", 5000], ["stop", 1000]], 1000, 1000),  # nothing before the image
        ([["start", 0], ["stop", 1000], ["start", 50_000], ["stop", 2000]], 3000, 3000),  # a pause that was asked for
        ([["start", 0], ["touch", 5000], ["drop", 1000], ["stop", 2000]], 2000, 2000),
    ],
)
def test_time_is_taken_without_what_was_idle(
    page: Page, tmp_path: Path, steps: list[list[Any]], active: int, elapsed: int
):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        page.goto(link(study, address))
        assert page.evaluate(CLOCK, [10_000, steps]) == {"active_ms": active, "elapsed_ms": elapsed}


def test_what_is_seen_small_is_averaged_and_what_is_masked_counts_for_nothing(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        page.goto(link(study, address))
        half = page.evaluate(
            """async () => {
                const { halved, Pyramid } = await import("/page/pyramid.js");
                const image = { values: new Uint16Array([0, 65535, 7, 65535, 65534, 9, 4, 4, 8]), mask: null };
                const plain = halved({ ...image, rows: 3, columns: 3 });
                const mask = new Uint8Array([1, 1, 0, 0, 0, 0, 1, 1, 1]);
                const masked = halved({ ...image, mask, rows: 3, columns: 3 });
                const pyramid = new Pyramid({ ...image, rows: 3, columns: 3 });
                return {
                    plain: Array.from(plain.values),
                    masked: Array.from(masked.values),
                    seen: Array.from(masked.mask),
                    factors: [2, 1, 0.5, 0.3].map((zoom) => pyramid.at(zoom).factor),
                };
            }"""
        )
    assert half["plain"] == [49151, 8, 4, 8]
    assert half["masked"] == [32768, 0, 4, 8]
    assert half["seen"] == [1, 0, 1, 1]
    assert half["factors"] == [1, 1, 2, 2]


def test_everything_can_be_reached_and_is_named(page: Page, tmp_path: Path):
    study = a_study(tmp_path, cases=1, readers=("anna",))
    with served(study) as address:
        begin(page, link(study, address))
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, canvas, progress")]
                .filter((each) => !(each.textContent.trim() || each.ariaLabel)).map((each) => each.outerHTML)"""
        )
        assert unnamed == []
        reached = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.do"))
        assert {"image", "normal", "abnormal", "pause", "keys", "fit", "invert"} <= reached
