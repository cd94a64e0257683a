"""Two browsers, signed in as two people, at one list: who has what open, and whose key marks which study."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import watched
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import ADMIN, READER, SignedInWeb, make_passwords_quick, signed_in_web
from tests.support.wait import wait_for
from tests.support.worklist_page import served, tagged
from triage.adjudication.journal import case_acts
from triage.decision.records import to_record
from triage.decision.types import Tag, TriageDecision
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.worklist.presence import OpenPage
from triage.worklist.reader_act import Act, Marking, Via
from triage.worklist.reader_acts import acts_of, leaving_act, mark
from triage.worklist.shown import ON_STUDY_PAGE, Place, shown_of
from triage.worklist.workitem_store import read_state, workitem_uid

EARLY = """async () => {  // whether a press counts as early, after each of what may go before it
  const { Readings } = await import("/page/reading.js");
  const readings = new Readings();
  const press = (after = 0) => readings.isEarly({ timeStamp: performance.now() + after });
  const found = [press()];
  readings.leads(); found.push(press(9999));  // the next study has not come up
  readings.shown("1.2", "a"); found.push(press(900), press(1100));  // it has, by itself
  readings.shown("1.2", "b"); found.push(press(900));  // the same study with another result
  readings.chosen(); found.push(press());  // the reader's own choice
  readings.led(); found.push(press(-1));  // the key went down before
  return found;
}"""
HOSTILE = '<img src=x onerror=alert(1)> \u202eעבר\u2066\n"\\'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SignedInWeb, RedisServer]]:
    """One service with its Redis for all tests of this file: signing in takes longer than most of them."""
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch, RedisServer() as redis:
        make_passwords_quick(patch)
        with signed_in_web(redis, Spool.open(folder / "spool"), folder) as found:
            yield found, redis


@pytest.fixture(scope="module")
def signed_in(browser: Browser, house: tuple[SignedInWeb, RedisServer]) -> Iterator[tuple[Page, Page]]:
    """The pages of ann, a reader, and bob, an admin."""
    home, _ = house
    with ExitStack() as stack:
        pages = [stack.enter_context(watched(browser, width=1400, height=850)) for _ in range(2)]
        for page, (name, password) in zip(pages, (READER, ADMIN), strict=True):
            page.goto(f"{home.address}/sign-in")
            page.locator("input[name=name]").fill(name)
            page.locator("input[name=password]").fill(password)
            page.keyboard.press("Enter")
            expect(page.locator("#user")).to_contain_text(name)
        yield pages[0], pages[1]


@pytest.fixture
def home(house: tuple[SignedInWeb, RedisServer]) -> Iterator[SignedInWeb]:
    """The service, with an empty list."""
    found, redis = house
    yield found
    redis.start_again()
    for uid in list(found.sources.worklist.study_uids()):
        found.sources.worklist.remove(uid)


@pytest.fixture
def people(home: SignedInWeb, signed_in: tuple[Page, Page]) -> Iterator[tuple[Page, Page]]:
    """The pages of ann and bob, both signed in, with nothing open."""
    yield signed_in
    for page in signed_in:
        page.goto("about:blank")  # it has no study open any more


_NUMBERS = count()


def studies(sources: Sources, many: int = 2) -> list[TriageDecision]:
    """Make studies that no other test has."""
    return [
        tagged(sources.spool, sources.worklist, next(_NUMBERS), Tag.ABNORMAL, age_s=900.0 - 100 * place)
        for place in range(many)
    ]


def changed(sources: Sources, study: TriageDecision, tag: Tag = Tag.NORMAL, letter: str = "d") -> TriageDecision:
    """Have the study another result."""
    later = replace(study, tag=tag, revision=letter * 64, tagged_at=time.time(), sequence=study.sequence + 1)
    with sources.spool.study_lock(study.study_instance_uid):
        sources.spool.write_decision(study.study_instance_uid, to_record(later))
    sources.worklist.put(later)
    return later


def open_study(page: Page, home: SignedInWeb, study: TriageDecision) -> None:
    page.goto(f"{home.address}/studies/{study.study_instance_uid}")
    expect(page.locator("#patient")).to_be_visible()


def test_an_open_study_is_shown_to_the_others_until_it_is_left_read_or_closed(
    people: tuple[Page, Page], home: SignedInWeb
) -> None:
    ann, bob = people
    first, second = studies(home.sources)
    row = bob.locator(f'#rows tr[data-uid="{first.study_instance_uid}"] td[data-label="Open at"]')
    bob.goto(home.address)
    expect(row).to_have_text("")
    open_study(ann, home, first)
    expect(row).to_have_text("ann")  # without a reload
    expect(ann.locator("#together-open")).to_be_hidden()  # her own page
    open_study(bob, home, first)
    expect(bob.locator("#together-open")).to_have_text("Also open at ann")
    expect(ann.locator("#together-open")).to_have_text("Also open at bob")

    bob.keyboard.press("r")
    expect(bob.locator("#toast")).to_contain_text(f"Marked as read: {first.accession_number}.")
    bob.wait_for_url(f"**/studies/{second.study_instance_uid}")
    expect(ann.locator("#together-open")).to_be_hidden()
    expect(ann.locator("#together-read")).to_contain_text("Read by bob, ")
    bob.locator("#undo").click()  # while another study is shown
    expect(bob.locator("#toast")).to_contain_text(f"Taken back: {first.accession_number} is on the list again.")
    expect(ann.locator("#together-read")).to_be_hidden()
    assert acts_of(home.sources.spool, second.study_instance_uid) == []
    ann.goto("about:blank")
    bob.keyboard.press("Escape")
    expect(bob.locator("#rows tr")).to_have_count(2)
    expect(row).to_have_text("")


def test_r_marks_what_was_shown_once_and_asks_again_where_the_result_has_changed(
    people: tuple[Page, Page], home: SignedInWeb
) -> None:
    ann, _ = people
    first, second, third = studies(home.sources, 3)
    open_study(ann, home, first)
    later = changed(home.sources, first)
    expect(ann.locator("#together-changed")).to_have_text("The result has changed since it was shown here.")
    expect(ann.locator("#about .result")).to_contain_text("Abnormal")  # as it was shown
    ann.keyboard.press("r")
    expect(ann.locator("#toast")).to_contain_text("Not marked: the result has changed")
    expect(ann.locator("#about .result")).to_contain_text("Normal")
    expect(ann.locator("#together-changed")).to_be_hidden()
    assert acts_of(home.sources.spool, first.study_instance_uid) == []
    open_study(ann, home, first)
    for _ in range(3):
        ann.keyboard.press("r")  # a press too many meets the next study, or the one before while it is saved
    ann.wait_for_url(f"**/studies/{second.study_instance_uid}")
    expect(ann.locator("#patient")).to_be_visible()
    (act,) = acts_of(home.sources.spool, first.study_instance_uid)
    assert (act.act, act.who, act.revision) == (Act.READ, "ann", later.revision)

    ann.keyboard.press("Escape")
    expect(ann.locator("#rows tr")).to_have_count(2)
    for _ in range(3):
        ann.keyboard.press("r")
    expect(ann.locator("#rows tr")).to_have_count(1)
    left = [leaving_act(acts_of(home.sources.spool, each.study_instance_uid)) for each in (second, third)]
    assert [each is None for each in left] == [False, True]
    assert ann.evaluate(EARLY) == [False, True, True, False, True, False, True]


def test_d_is_of_the_result_that_was_shown_and_keeps_what_was_written(
    people: tuple[Page, Page], home: SignedInWeb
) -> None:
    ann, _ = people
    (study,) = studies(home.sources, 1)
    uid, spool = study.study_instance_uid, home.sources.spool
    open_study(ann, home, study)
    ann.keyboard.press("d")
    expect(ann.locator("#labelling")).to_be_visible()
    changed(home.sources, study)
    ann.keyboard.press("n")
    expect(ann.locator("#toast")).to_contain_text("Not noted: the result has changed")
    expect(ann.locator("#about .result")).to_contain_text("Normal")
    assert acts_of(spool, uid) == []
    ann.locator('[data-disagree=""]').click()
    ann.locator("#why").fill("the left apex")
    changed(home.sources, study, Tag.NOT_ASSESSED, "e")
    ann.locator("#disagreement-save").click()
    expect(ann.locator("#toast")).to_contain_text("Not noted: the result has changed")
    expect(ann.locator("#about .result")).to_contain_text("Not assessed")
    assert case_acts(spool, uid) == []
    ann.locator('[data-disagree=""]').click()
    expect(ann.locator("#why")).to_have_value("the left apex")
    ann.locator("#disagreement-save").click()
    expect(ann.locator("#about")).to_contain_text("the left apex")
    ann.keyboard.press("d")
    ann.keyboard.press("a")
    expect(ann.locator("#toast")).to_have_text("Noted: abnormal.")
    (said,), (labelled,) = case_acts(spool, uid), acts_of(spool, uid)
    assert (said.revision, labelled.revision, labelled.label) == ("e" * 64, "e" * 64, 1)


def test_two_who_press_at_once_have_both_read_it_and_each_undoes_the_own(
    people: tuple[Page, Page], home: SignedInWeb
) -> None:
    ann, bob = people
    (study,) = studies(home.sources, 1)
    uid = study.study_instance_uid
    for page in people:
        open_study(page, home, study)
    for page in people:
        page.locator("#read").dispatch_event("click")
    for page in people:
        expect(page.locator("#undo")).to_be_visible()
    acts = acts_of(home.sources.spool, uid)
    assert sorted((each.act, each.who) for each in acts) == [(Act.READ, "ann"), (Act.READ, "bob")]
    bob.keyboard.press("u")
    expect(bob.locator("#toast")).to_contain_text(
        f"Taken back. {study.accession_number} stays off the list: read by ann."
    )
    ann.keyboard.press("u")
    expect(ann.locator("#rows tr")).to_have_count(1)


def test_names_of_users_are_text_and_without_redis_the_page_says_that_it_does_not_know(
    people: tuple[Page, Page], home: SignedInWeb, house: tuple[SignedInWeb, RedisServer]
) -> None:
    ann, bob = people
    study, _ = studies(home.sources)
    uid = study.study_instance_uid
    open_study(ann, home, study)
    bob.goto(home.address)
    home.sources.presence.renew(OpenPage("f" * 32, HOSTILE, uid))
    expect(ann.locator("#together-open bdi")).to_have_text(HOSTILE)
    expect(bob.locator(f'#rows tr[data-uid="{uid}"] td[data-label="Open at"]')).to_contain_text("<img src=x")
    mark(home.sources.spool, home.sources.worklist, uid, Marking(Act.READ, time.time(), HOSTILE, Via.API))
    expect(ann.locator("#together-read")).to_contain_text("Read by <img src=x")
    assert ann.locator("#together img").count() + bob.locator("#rows img").count() == 0

    house[1].kill()
    expect(ann.locator("#together-open")).to_have_text("Who else has it open is not known now.")
    expect(ann.locator("#about .result")).to_contain_text("Abnormal")


def test_a_claim_is_seen_by_all_ended_by_its_owner_s_reading_or_with_a_reason_and_never_taken_over(
    people: tuple[Page, Page], home: SignedInWeb
) -> None:
    ann, bob = people
    first, second = studies(home.sources)
    uid, spool = first.study_instance_uid, home.sources.spool
    open_study(ann, home, first)
    bob.goto(home.address)
    ann.keyboard.press("c")
    expect(ann.locator("#together-claim")).to_contain_text("Claimed by you, ")
    claimant = bob.locator(f'#rows tr[data-uid="{uid}"] td[data-label="Claimed by"]')
    expect(claimant).to_have_text("ann")
    open_study(bob, home, first)
    expect(bob.locator("#together-claim")).to_contain_text("Claimed by ann, ")
    expect(bob.locator("#claim")).to_be_disabled()
    bob.locator("#release").click()  # an admin
    bob.locator("#release-reason").fill("she has gone home")
    bob.keyboard.press("Enter")
    expect(ann.locator("#together-claim")).to_be_hidden()
    assert read_state(spool, uid).generation == 2

    ann.locator("#claim").click()
    expect(bob.locator("#together-claim")).to_contain_text("Claimed by ann, ")
    ann.keyboard.press("r")
    ann.wait_for_url(f"**/studies/{second.study_instance_uid}")
    expect(bob.locator("#together-read")).to_contain_text("Read by ann")
    expect(bob.locator("#together-claim")).to_be_hidden()
    assert read_state(spool, uid).state == "COMPLETED"
    ann.keyboard.press("u")
    expect(bob.locator("#together-read")).to_be_hidden()
    state = read_state(spool, uid)
    assert (state.state, state.generation) == ("SCHEDULED", 3)

    with home.ask(ADMIN, Content_Type="application/dicom+json") as workstation:
        workitem = workitem_uid(second.study_instance_uid, 1)
        claim = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2.3"]}}
        assert workstation.put(f"/workitems/{workitem}/state", json=claim).status_code == 200
    expect(ann.locator("#together-claim")).to_contain_text("Held by bob, ")
    expect(ann.locator("#together-claim")).to_contain_text("only that system can end it. The study can be read.")
    expect(ann.locator("#release")).to_be_hidden()
    with home.ask(ADMIN) as admin, home.ask(READER) as reader:
        path = f"/api/studies/{second.study_instance_uid}"
        assert admin.post(f"{path}/claim", json={}).status_code == 409
        assert admin.post(f"{path}/release", json={"reason": "an admin"}).status_code == 409
        assert reader.post(f"{path}/release", json={"reason": " "}).status_code == 400
        assert reader.post("/api/studies/1.2.99/claim", json={}).status_code == 409
        assert reader.post("/api/studies/..x/claim", json={}).status_code == 400
        assert reader.post(f"{path}/reading", json={"read": True}).json()["read"]["who"] == "ann"
    assert read_state(spool, second.study_instance_uid).state == "IN PROGRESS"
    assert home.audit.read_text().count("INTENT-RELEASE") >= 1


def test_it_is_recorded_what_was_shown_to_whom(people: tuple[Page, Page], home: SignedInWeb) -> None:
    page, spool = people[0], home.sources.spool
    with home.ask(READER) as ask:
        in_list, opened = studies(home.sources)
        uids = [each.study_instance_uid for each in (in_list, opened)]
        page.goto(home.address)
        (row,) = wait_for(lambda: shown_of(spool, uids[0]), "the row to be recorded")
        assert (row.place, row.who, row.tag, row.read) == (Place.LIST, "ann", "ABNORMAL", False)
        assert {"tag", "urgency", "priority", "order"} <= set(row.visible)
        open_study(page, home, opened)
        look = wait_for(lambda: [each for each in shown_of(spool, uids[1]) if each.place is Place.STUDY], "the look")[0]
        assert (look.place, look.visible, look.revision) == (Place.STUDY, ON_STUDY_PAGE, opened.revision)

        before = shown_of(spool, uids[1])
        ask.get(f"/api/studies/{uids[1]}")  # a program is no reader
        rows = {"rows": {uids[1]: opened.revision}, "visible": ["tag"]}
        assert ask.post("/api/shown", json=rows, headers={"X-Triage-Idle": "1"}).json() == {"noted": False}
        for wrong in ({**rows, "visible": ["name"]}, {**rows, "rows": {"..x": "a"}}, {**rows, "rows": {"1.2": ""}}):
            assert ask.post("/api/shown", json=wrong).status_code == 400
        many = {f"1.2.{number}": "a" for number in range(21)}
        assert ask.post("/api/shown", json={**rows, "rows": many}).status_code == 400
        assert ask.post("/api/shown", json={**rows, "rows": {"1.2.3": "a"}}).json() == {"noted": True}
        assert shown_of(spool, uids[1]) == before
        assert not spool.study_folder("1.2.3").exists()


def test_what_is_open_at_one_web_process_is_told_by_another(redis_server: RedisServer, spool: Spool) -> None:
    with (
        served(redis_server, spool) as (address, sources),
        served(redis_server, spool) as (elsewhere, _),
        httpx.Client(trust_env=False, timeout=30) as ask,
    ):
        (study,) = studies(sources, 1)
        beat = {"page": "0" * 32, "open": True}
        with ask.stream("GET", f"{elsewhere}/api/changes") as stream:
            told = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith('data: {"open"'))
            assert json.loads(next(told)) == {"open": {}}
            ask.post(f"{address}/api/studies/{study.study_instance_uid}/presence", json=beat)
            assert json.loads(next(told)) == {"open": {study.study_instance_uid: {"local": 1}}}


def test_a_page_s_heartbeat_is_for_a_study_that_is_there_and_a_press_has_an_identity(
    redis_server: RedisServer, spool: Spool
) -> None:
    with served(redis_server, spool) as (address, sources), httpx.Client(base_url=address, trust_env=False) as ask:
        (study,) = studies(sources, 1)
        path = f"/api/studies/{study.study_instance_uid}"
        beat = {"page": "0" * 32, "open": True}
        assert ask.post(f"{path}/presence", json=beat).status_code == 200
        assert ask.get("/api/open").json() == {"open": {study.study_instance_uid: {"local": 1}}}
        assert ask.post(f"{path}/presence", json={**beat, "open": False}).status_code == 200
        assert ask.get("/api/open").json() == {"open": {}}
        assert ask.post(f"{path}/presence", json={**beat, "page": "../x"}).status_code == 400
        assert ask.post("/api/studies/1.2.999/presence", json=beat).status_code == 404
        assert ask.post("/api/studies/..x/presence", json=beat).status_code == 400

        press = {"read": True, "press": "p" * 16, "revision": study.revision}
        stale = {**press, "revision": "0" * 64}
        assert ask.post(f"{path}/reading", json=stale).status_code == 409
        answers = [ask.post(f"{path}/reading", json=press).json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert len(acts_of(spool, study.study_instance_uid)) == 1
        undo = {"read": False, "undoes": "p" * 16}
        assert ask.post(f"{path}/reading", json={**undo, "undoes": "q" * 16}).status_code == 404
        assert ask.post(f"{path}/reading", json={**undo, "read": True}).status_code == 400
        assert ask.post(f"{path}/reading", json={**press, "press": "<script>"}).status_code == 400
        assert ask.post(f"{path}/reading", json=undo).json()["read"] is None
        assert ask.get(f"{path}/standing").json() == {"revision": study.revision, "readings": [], "read": None}
        assert ask.post(f"{path}/claim", json={}).status_code == 404  # workitems are switched off
        redis_server.kill()
        assert ask.post(f"{path}/presence", json=beat).status_code == 503
        assert ask.get("/api/open").json() == {"open": None}
