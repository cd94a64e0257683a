"""The page behind Debian's nginx and Apache: as our examples have it, and as people write it without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium, watched
from tests.support.certificates import authority
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.reverse_proxies import apache, example, nginx
from tests.support.worklist_page import served, tagged
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.web.api.sources import Sources

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLES = {
    "nginx": (nginx, DEPLOY / "nginx" / "cxr-triage.conf"),
    "apache": (apache, DEPLOY / "apache" / "cxr-triage.conf"),
}

Start = Callable[[Path, str, int], AbstractContextManager[None]]


@pytest.fixture
def place(redis_server: RedisServer, spool: Spool) -> Iterator[tuple[str, Sources]]:
    with served(redis_server, spool) as (address, sources):
        sources.worklist.end_building(sources.worklist.begin_building())
        tagged(spool, sources.worklist, 1, Tag.NORMAL)
        yield address, sources


@pytest.fixture(scope="module")
def lenient() -> Iterator[Browser]:
    with chromium("--ignore-certificate-errors") as browser:
        yield browser


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_show_a_live_list_at_the_top_and_below_a_path(
    name: str, place: tuple[str, Sources], lenient: Browser, tmp_path: Path
):
    address, sources = place
    start, file = EXAMPLES[name]
    certificate = authority(tmp_path).certificate("proxy")
    text, port = example(file, address, certificate.path, certificate.key)
    with start(tmp_path, text, port):
        for number, path in enumerate(("/", "/triage/"), start=2):
            with watched(lenient, width=1400, height=850) as page:
                _is_live(page, f"https://127.0.0.1:{port}{path}", sources, number)
        _may_change(f"https://127.0.0.1:{port}", f"https://127.0.0.1:{port}")


@pytest.mark.parametrize(("at", "below"), [("/", ""), ("/triage/", "/triage")])
def test_nginx_with_its_defaults_alone_shows_a_live_list(
    at: str, below: str, place: tuple[str, Sources], lenient: Browser, tmp_path: Path
):
    address, sources = place
    port = free_port()
    location = f"location {at} {{ proxy_pass {address}{'/' if below else ''}; }}"
    with nginx(tmp_path, f"server {{ listen 127.0.0.1:{port}; {location} }}", port):
        with watched(lenient, width=1400, height=850) as page:
            _is_live(page, f"http://127.0.0.1:{port}{at}", sources, 2)
        _may_change(f"http://127.0.0.1:{port}{below}", f"http://127.0.0.1:{port}")


def test_a_stream_that_a_proxy_holds_back_is_noticed_and_the_list_follows_all_the_same(
    place: tuple[str, Sources], lenient: Browser, tmp_path: Path
):
    address, sources = place
    port = free_port()
    held_back = f"location / {{ proxy_pass {address}; proxy_ignore_headers X-Accel-Buffering; }}"
    server = f"server {{ listen 127.0.0.1:{port}; {held_back} }}"
    with nginx(tmp_path, server, port), watched(lenient, width=1400, height=850) as page:
        page.clock.install()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#rows tr")).to_have_count(1)
        tagged(sources.spool, sources.worklist, 2, Tag.ABNORMAL)
        page.clock.run_for(45_000)
        expect(page.locator("#live")).to_contain_text("Not live")
        expect(page.locator("#rows tr")).to_have_count(2)


def test_readers_are_told_since_when_nothing_has_come(place: tuple[str, Sources], lenient: Browser, tmp_path: Path):
    address, _ = place
    port = free_port()
    with watched(lenient, width=1400, height=850) as page:
        with nginx(tmp_path, f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {address}; }} }}", port):
            page.goto(f"http://127.0.0.1:{port}/")
            expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#live")).to_contain_text("No update since ")


def test_a_page_whose_name_the_proxy_does_not_pass_on_is_ours_if_the_settings_say_so(
    redis_server: RedisServer, spool: Spool
):
    ask = {"Content-Type": "application/json", "Origin": "https://triage.hospital.example"}
    for names, status in ((frozenset[str](), 403), (frozenset({"triage.hospital.example"}), 200)):
        with served(redis_server, spool, names=names) as (address, _):
            answer = httpx.post(f"{address}/api/search", json={"text": "x"}, headers=ask, trust_env=False)
            assert answer.status_code == status
            evil = httpx.post(
                f"{address}/api/search", json={"text": "x"}, headers={"Origin": "https://evil.example"}, trust_env=False
            )
            assert (evil.status_code, "web.names" in evil.text) == (403, True)


def _is_live(page: Page, address: str, sources: Sources, number: int) -> None:
    page.goto(address)
    rows = page.locator("#rows tr")
    expect(page.locator("#live")).to_have_text("Live")
    expect(rows).to_have_count(number - 1)
    tagged(sources.spool, sources.worklist, number, Tag.ABNORMAL)
    expect(rows).to_have_count(number)  # without loading the page again
    rows.first.click()
    expect(page.locator("#about")).to_contain_text("ABNORMAL", ignore_case=True)
    assert page.url.startswith(f"{address}studies/")
    page.reload()
    expect(page.locator("#about")).to_contain_text("ABNORMAL", ignore_case=True)
    page.keyboard.press("o")
    expect(page.locator("#operations")).to_contain_text("Queue")
    assert page.url == f"{address}operations"
    page.keyboard.press("g")
    expect(rows).to_have_count(number)
    assert page.url == address


def _may_change(base: str, origin: str) -> None:
    """Return the origin that a browser over plain HTTP would send."""
    with httpx.Client(trust_env=False, verify=False) as ask:
        answer = ask.post(f"{base}/api/search", json={"text": "x"}, headers={"Origin": origin})
        assert answer.status_code == 200, answer.text
        foreign = ask.post(f"{base}/api/search", json={"text": "x"}, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
