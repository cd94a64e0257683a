"""Two people at the list over nginx with TLS, as a site has it: what each does, and what both see."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import PATIENCE_MS
from tests.support.certificates import authority
from tests.support.redis_server import RedisServer
from tests.support.reverse_proxies import example, nginx
from tests.support.signed_in_web import JUDGE, READER, signed_in_web
from tests.support.studies import a_radiograph, settle, store
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.dicom.dx_image import part10
from triage.dicom.part10 import data_set_in
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.web.api.sources import Sources

NGINX = Path(__file__).parents[2] / "deploy" / "nginx" / "cxr-triage.conf"
HIGH = 3
"""Studies of priority HIGH among all: those that come last."""


@dataclass(frozen=True)
class Place:
    """The list behind nginx, and the number of its studies."""

    address: str
    sources: Sources
    studies: int


def add(sources: Sources, number: int, tag: Tag, **attributes: str) -> str:
    """List a study that came ``number`` seconds after the first; its Study Instance UID."""
    at = time.time() - 86_400 + number
    probability = 0.91 if tag is Tag.ABNORMAL else 0.08
    found = {"tag": tag, "probability": probability, "calling_ae_title": f"MODALITY{number % 3}"}
    study, series, sop = (f"2.25.{10**34 + 3 * number + each}" for each in range(3))
    uids = {"SeriesInstanceUID": series, "SOPInstanceUID": sop}
    values = {"PatientName": f"NAME{number:05d}^PAT", "PatientID": f"P{number:05d}", **uids, **attributes}
    uid = _study(sources.spool, study, values, received_at=at, assessed_at=at + 1, **found)
    record = sources.spool.decision(uid)
    assert record is not None
    sources.worklist.put(decision_from(record))
    return uid


def _study(spool: Spool, study: str, values: dict[str, str], **found: object) -> str:
    """Leave a study of one image as the worker does. Only what an image has of its own is written into a template."""
    own = ("PatientName", "PatientID", "SeriesInstanceUID", "SOPInstanceUID")
    if set(values) == set(own):
        content = _template()
        for old, new in zip(_OLD, (study, *(values[name] for name in own)), strict=True):
            content = content.replace(old.encode(), new.encode())
    else:
        content = part10(a_radiograph(study, **values))
    known = {
        "series_instance_uid": values["SeriesInstanceUID"],
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "accession_number": values.get("AccessionNumber", "ACC-1"),
    }
    instance = ReceivedInstance(study, values["SOPInstanceUID"], sha256(data_set_in(content)).hexdigest())
    store(spool, instance, content, **known, **found)
    settle(spool, study)
    return study


_OLD = (f"2.25.{2 * 10**34}", "NAME99999^PAT", "P99999", f"2.25.{2 * 10**34 + 1}", f"2.25.{2 * 10**34 + 2}")
"""What stands in the template for an image's own values, each as long as those."""


@lru_cache
def _template() -> bytes:
    study, name, patient, series, sop = _OLD
    uids = {"SeriesInstanceUID": series, "SOPInstanceUID": sop}
    return part10(a_radiograph(study, PatientName=name, PatientID=patient, **uids))


@contextmanager
def behind_nginx(redis: RedisServer, spool: Spool, folder: Path, studies: int) -> Iterator[Place]:
    """Serve a list of so many studies with sign-in, behind our example of nginx."""
    with signed_in_web(redis, spool, folder, trusted_proxies=("127.0.0.1",)) as web:
        for number in range(studies):
            add(web.sources, number, Tag.ABNORMAL if number >= studies - HIGH else Tag.NORMAL)
        web.sources.worklist.end_building(web.sources.worklist.begin_building())
        while not web.sources.query.catch_up(2.0):
            pass
        certificate = authority(folder).certificate("proxy")
        text, port = example(NGINX, web.address, certificate.path, certificate.key)
        with nginx(folder, text, port):
            yield Place(f"https://127.0.0.1:{port}", web.sources, studies)


@contextmanager
def person(browser: Browser, place: Place, who: tuple[str, str]) -> Iterator[Page]:
    """Sign a person in, in a browser of his or her own."""
    context: BrowserContext = browser.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 850})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{place.address}/sign-in")
    page.get_by_label("Name").fill(who[0])
    page.get_by_label("Password").fill(who[1])
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("Live")
    yield page
    context.close()


def use_together(browser: Browser, place: Place) -> None:
    """Have two people list, sort, filter and read."""
    with person(browser, place, READER) as ann, person(browser, place, JUDGE) as cleo:
        for page in (ann, cleo):
            expect(page.locator("#listed")).to_have_text(f"{place.studies:,}")
            expect(page.locator("#rows tr").first).to_contain_text(f"NAME{place.studies - HIGH:05d}, PAT")
        _sort(ann, place)
        _filter(ann)
        _read(ann, cleo, place)


def _sort(page: Page, place: Place) -> None:
    head = page.get_by_role("columnheader", name="Patient").get_by_role("button")
    for first in ("NAME00000, PAT", f"NAME{place.studies - 1:05d}, PAT"):
        head.click()
        expect(page.locator("#rows tr").first).to_contain_text(first)
    head.click()
    expect(page.locator("#rows tr").first).to_contain_text("HIGH")


def _filter(page: Page) -> None:
    page.locator("#which").select_option("NORMAL")
    expect(page.locator("#outside-text")).to_have_text(re.compile(rf"^{HIGH} unread HIGH are not on the screen"))
    expect(page.locator("#rows tr").first).not_to_contain_text("HIGH")
    page.locator("#filter").click()
    page.locator("#by-sender").select_option("MODALITY1")
    expect(page.locator("#applied-text")).to_contain_text("from MODALITY1")
    page.get_by_role("button", name="Show them").click()
    expect(page.locator("#applied")).to_be_hidden()
    expect(page.locator("#rows tr").first).to_contain_text("HIGH")


def _read(ann: Page, cleo: Page, place: Place) -> None:
    """What one reads leaves the other's list, and what comes is seen by both, without a reload."""
    first = ann.locator("#rows tr").first
    uid = first.get_attribute("data-uid")
    ann.keyboard.press("g")
    if first.get_attribute("aria-selected") != "true":
        ann.locator("#list-rows").focus()
        ann.keyboard.press("k")
    first.click()
    ann.wait_for_url(f"**/studies/{uid}")
    expect(ann.locator("#about")).to_contain_text("AI triage")
    ann.keyboard.press("r")
    expect(cleo.locator(f'#rows tr[data-uid="{uid}"]')).to_have_count(0)
    expect(cleo.locator("#listed")).to_have_text(f"{place.studies - 1:,}")
    ann.goto(f"{place.address}/")
    new = add(place.sources, place.studies, Tag.ABNORMAL)
    for page in (ann, cleo):
        expect(page.locator(f'#rows tr[data-uid="{new}"]')).to_contain_text(f"NAME{place.studies:05d}, PAT")
        expect(page.locator("#listed")).to_have_text(f"{place.studies:,}")
    assert [each.who for each in _acts(place, uid or "")] == [READER[0]]


def _acts(place: Place, uid: str) -> list[object]:
    from triage.worklist.reader_acts import acts_of

    return list(acts_of(place.sources.spool, uid))


def page_through(page: Page, place: Place, limit: int) -> None:
    """Ask for the whole list in pages, by patient, as the page does: each study once, in order."""
    cursor, seen = None, []
    while cursor is not None or not seen:
        query = {
            "show": "unread",
            "limit": limit,
            "cursor": cursor,
            "sort": {"column": "patient_name", "descending": False},
        }
        answer = page.request.post(f"{place.address}/api/list", data=query, headers={"Origin": place.address})
        assert answer.ok, answer.text()
        found = answer.json()
        seen += [each["patient_name"] for each in found["entries"]]
        cursor = found["next_cursor"]
    assert len(seen) == place.studies
    assert seen == sorted(set(seen))
