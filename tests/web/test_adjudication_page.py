"""Disagreements on the study page, and the page of cases, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import PATIENCE_MS
from tests.support.findings import a_score, scored
from tests.support.reader_study import write_cases
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import ADMIN, JUDGE, READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.worklist_page import tagged
from triage.adjudication.acts import Objection, disagree, study_cases
from triage.adjudication.journal import FILE, Contradicted, case_acts, other_finding
from triage.adjudication.rules import AdjudicationRules
from triage.adjudication.ties import judgements
from triage.decision.types import Tag
from triage.reader_study.answers import AnswerLog
from triage.reader_study.labels import write_labels
from triage.reader_study.progress import ReaderAnswer, ReaderRecord, StepKind
from triage.reader_study.study import ReaderStudy, begin_or_resume
from triage.spool.spool import Spool
from triage.worklist.reader_acts import Via

__all__ = ["quick_passwords"]

HOSTILE = "<img src=x onerror=alert(1)>\u202e right to left"


def tied_study(folder: Path) -> ReaderStudy:
    """A reader study of two cases and two readers, who disagree on the first image."""
    study = begin_or_resume(folder / "study", write_cases(folder / "images", 2), ("ann", "ben"))
    for reader in study.readers:
        log = AnswerLog(study.answers(reader), 2, lambda: "2026-11-25T10:00:00.000+00:00")
        for place, case in enumerate(study.order(reader)):
            says = ReaderAnswer.NORMAL if case == 1 or reader == "ben" else ReaderAnswer.ABNORMAL
            log.add(ReaderRecord(StepKind.ANSWER, place, 1000, 1000, says))
    write_labels(study)
    return study


@pytest.fixture
def home(quick_passwords: None, redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Iterator[SignedInWeb]:
    rules = AdjudicationRules(True, (tied_study(tmp_path).folder,))
    with signed_in_web(redis_server, spool, tmp_path, adjudication=rules, plain_http=True) as web:
        yield web


def signed_in(
    browser: Browser, web: SignedInWeb, person: tuple[str, str], **options: Any
) -> tuple[BrowserContext, Page]:
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{web.address}/sign-in")
    page.get_by_label("Name").fill(person[0])
    page.get_by_label("Password").fill(person[1])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.address}/")
    return context, page


def test_one_disagrees_another_judges_without_the_result_and_then_sees_it(
    browser: Browser, home: SignedInWeb, spool: Spool
) -> None:
    results = scored(a_score("lung_opacity", 0.91))["results"]
    uid = tagged(spool, home.sources.worklist, 1, Tag.ABNORMAL, results=results).study_instance_uid
    reading, page = signed_in(browser, home, READER)
    expect(page.locator("#to-cases")).to_be_hidden()
    page.goto(f"{home.address}/studies/{uid}")
    page.get_by_role("button", name="Disagree with Lung opacity").click()
    expect(page.locator("#says")).to_have_value("0")  # the result says present
    page.locator("#why").fill(f"a skin fold {HOSTILE}")
    page.keyboard.press("d")  # a letter of the text, and no key of the page
    expect(page.locator("#why")).to_have_value(f"a skin fold {HOSTILE}d")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#about")).to_contain_text("ann, against the result: Lung opacity absent: a skin fold")
    assert page.locator("#about img").count() == 0
    page.goto(f"{home.address}/adjudication")
    expect(page.locator("#trouble")).to_contain_text("needs the role adjudicator")
    reading.close()

    judging, page = signed_in(browser, home, JUDGE, timezone_id="Asia/Kolkata", locale="en-GB")
    page.locator("#to-cases").click()
    page.locator(".case", has_text="Lung opacity").click()
    expect(page.locator("#question")).to_have_text("Is it there: Lung opacity?")
    expect(page.locator("#image")).to_have_attribute("aria-label", "Radiograph, 96 by 96 pixels")
    expect(page.locator(".case").first).to_contain_text("GMT+5:30")
    hidden = page.locator("main").inner_text()
    assert not {word for word in ("ABNORMAL", "0.91", "skin fold", "ann:", "reader against") if word in hidden}
    page.get_by_label("Absent").check()
    page.get_by_label("Why").fill("the vessels go on")
    page.get_by_role("button", name="Save the judgement").click()
    expect(page.locator("#said")).to_contain_text("cleo judged: Absent (without the result): the vessels go on")
    expect(page.locator("#said")).to_contain_text("The result: Present")
    expect(page.locator("#said")).to_contain_text("a skin fold")
    assert page.locator("#said img").count() == 0
    assert [each.judgement.who for each in study_cases(spool, uid) if each.judgement] == ["cleo"]
    trail = home.audit.read_text()
    for code in ("DISAGREE", "JUDGE"):
        assert f'csd-code="INTENT-{code}"' in trail and f'csd-code="{code}"' in trail
    judging.close()


def test_a_judge_signs_out_from_the_page_of_cases(browser: Browser, home: SignedInWeb) -> None:
    judging, page = signed_in(browser, home, JUDGE)
    page.goto(f"{home.address}/adjudication")
    expect(page.locator("#who")).to_contain_text("cleo (adjudicator)")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: "/sign-in" in url)
    page.goto(f"{home.address}/adjudication")
    page.wait_for_url(lambda url: "/sign-in" in url)
    judging.close()


def test_a_tie_of_a_reader_study_is_judged_by_another_than_its_readers_and_becomes_a_label(
    browser: Browser, home: SignedInWeb
) -> None:
    (study,) = home.sources.adjudication.reader_studies
    with home.ask(JUDGE) as ask:
        (tie,) = ask.get("/api/adjudication").json()["ties"]
    assert (tie["why"], tie["answers"], tie["may_judge"]) == ("tie 1:1", {}, True)
    address = f"/api/adjudication/ties/0/{tie['case']}"
    with home.ask(ADMIN) as ask:
        assert ask.get("/api/adjudication/ties/1/abc").status_code == 404
    context, page = signed_in(browser, home, JUDGE)
    page.goto(f"{home.address}/adjudication")
    page.locator(".case").click()
    expect(page.locator("#image")).to_have_attribute("aria-label", "Radiograph, 80 by 96 pixels")
    page.get_by_label("Abnormal").check()
    page.get_by_label("Why").fill("an opacity")
    page.get_by_role("button", name="Save the judgement").click()
    expect(page.locator("#said")).to_contain_text("ann: Abnormal")
    context.close()
    (judged,) = judgements(study).values()
    assert (judged.who, judged.label, judged.why) == ("cleo", 1, "tie 1:1")
    assert "INTENT-JUDGE-TIE" in home.audit.read_text()
    assert f"urn:cxr-triage:reader-study:study:{tie['case']}" in home.audit.read_text()
    with home.ask(JUDGE) as ask:  # a reader of the case by another name of hers
        refused = ask.post(address, json={"label": True, "reason": ""})
    assert refused.status_code == 400


def test_it_is_refused_to_parties_to_readers_and_to_nonsense(home: SignedInWeb, spool: Spool) -> None:
    uid = tagged(spool, home.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    path, judging = f"/api/studies/{uid}/disagreements", f"/api/adjudication/studies/{uid}"
    stated = {"against": "model", "label": False, "text": "normal"}
    with home.ask(JUDGE) as judge, home.ask(READER) as reader:
        assert judge.get(judging).status_code == 404  # no case
        assert judge.post(path, json=stated).json()["number"] == 1
        assert judge.post(judging, json={"label": False, "reason": "so"}).status_code == 403  # her own
        assert reader.post(path, json={**stated, "revision": "0" * 64}).status_code == 409  # not what was shown
        assert reader.post(judging, json={"label": False, "reason": "so"}).status_code == 403  # no adjudicator
        assert reader.post(f"{path}/1/withdrawal", json={}).status_code == 403
        assert judge.post(f"{path}/1/withdrawal", json={}).status_code == 200
        assert judge.post(f"{path}/x/withdrawal", json={}).status_code == 404
        for wrong in (
            {**stated, "label": True},  # the result says the same
            {**stated, "text": " "},
            {**stated, "text": "x" * 901},
            {**stated, "finding": "a", "other": "b"},
            {**stated, "other": "a\nb"},
            {**stated, "against": "reader"},
            {**stated, "reader": "ben"},
            {**stated, "against": "patient"},
        ):
            assert reader.post(path, json=wrong).status_code == 400, wrong
        assert reader.post("/api/studies/1.2.3/disagreements", json=stated).status_code == 404
    assert [each.act for each in case_acts(spool, uid)] == ["disagreed", "withdrawn"]


def test_what_cannot_be_read_hides_no_other_case(home: SignedInWeb, spool: Spool) -> None:
    damaged, whole = (tagged(spool, home.sources.worklist, n, Tag.ABNORMAL).study_instance_uid for n in (1, 2))
    for uid in (damaged, whole):
        disagree(spool, uid, Objection("ann", 1.0, Via.PAGE, Contradicted.MODEL, "", 0, "normal"))
    (spool.study_folder(damaged) / FILE).write_text("{nonsense}")
    (study,) = home.sources.adjudication.reader_studies
    (study / "unresolved.csv").write_bytes(b"image,patient\n\xff")
    with home.ask(JUDGE) as ask:
        found = ask.get("/api/adjudication").json()
    assert [each["study_instance_uid"] for each in found["cases"]] == [whole]
    assert (len(found["faults"]), found["ties"]) == (2, [])


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 360), (1400, 850)])
def test_every_screen_has_the_whole_case_and_hostile_text_breaks_no_line(
    browser: Browser, home: SignedInWeb, spool: Spool, width: int, height: int
) -> None:
    uid = tagged(spool, home.sources.worklist, 1, Tag.ABNORMAL).study_instance_uid
    for title in (HOSTILE, "A" * 64):
        name = other_finding(title)
        disagree(spool, uid, Objection("zoe", 1.0, Via.PAGE, Contradicted.MODEL, name, 1, HOSTILE, title))
    context, page = signed_in(browser, home, JUDGE, viewport={"width": width, "height": height})
    page.goto(f"{home.address}/adjudication")
    expect(page.locator(".case")).to_have_count(3)
    page.locator(".case", has_text="right to left").click()
    expect(page.locator("#question bdi")).to_contain_text("right to left")
    expect(page.locator("#unread-high")).to_have_text("1 unread HIGH study")
    assert page.locator("main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Save the judgement").scroll_into_view_if_needed()
    box = page.locator("#judge").bounding_box()
    assert box is not None and 0 <= box["y"] < height and 0 <= box["x"] < width
    context.close()
