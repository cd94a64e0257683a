"""Links to the site's viewer and RIS, on the list and on the study's page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import watched
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.worklist_page import served
from triage.decision.identity import PatientMarks, mark
from triage.decision.records import decision_from
from triage.settings.load import SettingsError, load
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.web.api.site_links import site_links
from triage.web.api.sources import Sources

SETTINGS = WebSettings(
    viewer_url="https://pacs.example/viewer?StudyInstanceUIDs={StudyInstanceUID}",
    ris_url="https://ris.example/o/{AccessionNumber}?pid={PatientID}",
)
ODD = '"><img src=x onerror=alert(1)>&/'


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool, links=site_links(SETTINGS)) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        yield address, sources


def put(sources: Sources, uid: str) -> None:
    record = sources.spool.decision(uid)
    assert record is not None
    sources.worklist.put(decision_from(record))


def test_list_and_study_lead_to_viewer_and_ris(browser: Browser, place: tuple[str, Sources]):
    address, sources = place
    uid = a_study(sources.spool, attributes={"PatientID": ODD, "AccessionNumber": "A 1/2"}, accession_number="A 1/2")
    put(sources, uid)
    to_viewer = f"https://pacs.example/viewer?StudyInstanceUIDs={uid}"
    to_ris = "https://ris.example/o/A%201%2F2?pid=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%26%2F"
    with watched(browser, width=1400, height=850) as page:
        page.goto(address)
        for place_of_links in ("#rows tr", "#about"):
            links = page.locator(f"{place_of_links} a.site-link")
            expect(links).to_have_text(["Viewer", "RIS"])
            found = links.evaluate_all("all => all.map(a => [a.getAttribute('href'), a.rel, a.target])")
            assert found == [[to_viewer, "noopener noreferrer", "_blank"], [to_ris, "noopener noreferrer", "_blank"]]
            if place_of_links == "#rows tr":
                page.context.route("https://pacs.example/**", lambda route: route.fulfill(body="the viewer"))
                with page.expect_popup() as opened:
                    links.first.click()
                assert opened.value.url == to_viewer
                assert opened.value.evaluate("window.opener") is None
                assert page.url.rstrip("/") == address  # the row below did not open the study here
                page.locator("#rows tr td").first.click()


def test_a_study_without_a_value_or_of_several_patients_has_no_link_to_another_s_record(place: tuple[str, Sources]):
    address, sources = place
    bare = a_study(sources.spool, attributes={"AccessionNumber": ""}, accession_number="")
    mixed = a_study(sources.spool, patient=PatientMarks(((mark("P-1"), ""),)))
    add_image(sources.spool, a_radiograph(mixed, PatientID="P-2"), patient=PatientMarks(((mark("P-2"), ""),)))
    settle(sources.spool, mixed)
    for uid in (bare, mixed):
        put(sources, uid)
        links = httpx.get(f"{address}/api/studies/{uid}", trust_env=False).json()["links"]
        assert links == {"viewer": f"https://pacs.example/viewer?StudyInstanceUIDs={uid}", "ris": None}


def test_settings_refuse_a_template_at_the_start(tmp_path: Path):
    file = tmp_path / "triage.toml"
    file.write_text('[web]\nviewer_url = "https://pacs.example/{StudyUID}"\n')
    with pytest.raises(SettingsError, match=r"web.viewer_url.*unknown field \{StudyUID\}"):
        load(file, {})
