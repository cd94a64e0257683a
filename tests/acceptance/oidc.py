"""`triage web` behind nginx, and panva's oidc-provider, in a real browser. Run by tests/acceptance/oidc.sh alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import audit_schema as schema
from tests.support.browser import chromium, watched
from tests.support.certificates import Authority, Certificate, authority
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.reverse_proxies import example, nginx
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE
from tests.support.worklist_page import tagged
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

PEOPLE = {"ann": ["radiology"], "bob": ["others", "pacs-admins"], "eve": ["others"]}
SECRET = "a-secret-of-the-tests-alone"
NGINX = Path(__file__).parents[2] / "deploy" / "nginx" / "cxr-triage.conf"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # The page and the provider are of different sites, as in a hospital: cookies depend on it.
    with chromium("--ignore-certificate-errors", "--host-resolver-rules=MAP triage.test 127.0.0.1") as launched:
        yield launched


@dataclass
class House:
    """All the parts, in a folder of their own. The page is below a path of nginx's."""

    folder: Path
    script: Path
    redis: RedisServer
    spool: Spool
    ca: Authority
    own: Certificate
    proxy: str
    page: str
    provider_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)

    @contextmanager
    def provider(self, method: str = "client_secret_basic", **options: Any) -> Iterator[None]:
        """oidc-provider, with keys of its own at each start. ``method``: how it wants our secret."""
        client = {
            "client_id": "cxr-triage",
            "client_secret": SECRET if method != "none" else None,
            "token_endpoint_auth_method": method,
            "redirect_uris": [f"{self.page}sign-in/callback"],
            "post_logout_redirect_uris": [f"{self.page}sign-in"],
        }
        given = {
            "port": self.provider_port,
            "certificate": str(self.own.path),
            "key": str(self.own.key),
            "algorithm": "RS256",
            "clients": [{name: value for name, value in client.items() if value is not None}],
            "people": PEOPLE,
            "inIdToken": False,
            **options,
        }
        command = ["node", str(self.script), json.dumps(given)]
        with _running(command, self.folder / "provider.log") as log:
            wait_for(lambda: "listening" in log.read_text(), "the provider")
            yield

    @contextmanager
    def web(self, **oidc: str) -> Iterator[Path]:
        """`triage web`; its log."""
        (self.folder / "secret").write_text(f"{SECRET}\n")
        settings = {
            "issuer": f"https://127.0.0.1:{self.provider_port}",
            "client_id": "cxr-triage",
            "client_secret_file": str(self.folder / "secret"),
            "page_address": self.page,
            "ca_file": str(self.ca.path),
            **oidc,
        }
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items() if value)
        config = self.folder / "triage.toml"
        config.write_text(f"""
            spool.path = "{self.spool.root}"
            redis.url = "{self.redis.url}"
            audit.path = "{self.folder}/audit/audit.xml"
            [web]
            port = {self.web_port}
            names = ["triage.test"]
            [sign_in]
            method = "oidc"
            users_file = "{self.folder}/users.json"
            trusted_proxies = ["127.0.0.1"]
            reader_roles = ["radiology"]
            admin_roles = ["pacs-admins"]
            [oidc]
            {lines}
        """)
        with _running([str(TRIAGE), "--config", str(config), "web"], self.folder / "web.log") as log:
            wait_for(lambda: "web: http://" in log.read_text(), "the web process")
            yield log

    def attempts(self) -> list[tuple[str, str, str]]:
        """Name, the provider's name and outcome of each sign-in of the audit trail."""
        found = []
        for each in schema.messages(self.folder / "audit" / "audit.xml"):
            if schema.kind(each) == "110122":
                who = next(one for one in each.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true")
                found.append((who.get("UserID", ""), who.get("AlternativeUserID", ""), schema.event(each)[2]))
        return found


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[Path]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer, spool: Spool, pytestconfig: pytest.Config) -> Iterator[House]:
    script = Path(pytestconfig.getoption("--provider"))
    ca = authority(tmp_path)
    proxy = ca.certificate("proxy", host="DNS:triage.test")
    web_port = free_port()
    text, port = example(NGINX, f"http://127.0.0.1:{web_port}", proxy.path, proxy.key)
    with nginx(tmp_path, text, port):
        made = House(
            tmp_path, script, redis_server, spool, ca, ca.certificate("provider"), f"https://127.0.0.1:{port}",
            f"https://triage.test:{port}/triage/", web_port=web_port,
        )  # fmt: skip
        yield made


def to_the_provider(page: Page, house: House) -> None:
    """From our page."""
    page.goto(f"{house.page}sign-in")
    page.get_by_role("link", name="Sign in with your account").click()


def at_the_provider(page: Page, name: str) -> None:
    """Give a name there, and agree."""
    page.wait_for_url("**/interaction/**")
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_one_signs_in_lands_on_the_study_signs_out_and_is_out_at_both(browser: Browser, house: House, algorithm: str):
    index = IndexedWorklist(house.redis.client())
    study = tagged(house.spool, index, 1, Tag.ABNORMAL).study_instance_uid
    index.end_building(index.begin_building())
    with house.provider(algorithm=algorithm), house.web(), watched(browser, 1400, 850) as page:
        page.goto(f"{house.page}studies/{study}")
        page.wait_for_url(f"**/triage/sign-in?next=%2Fstudies%2F{study}")
        expect(page.get_by_role("link", name="Sign in with your account")).to_be_focused()
        page.keyboard.press("Enter")
        at_the_provider(page, "ann")
        page.wait_for_url(f"{house.page}studies/{study}")
        expect(page.locator("#patient")).to_have_text("PHANTOM, CHEST")
        expect(page.locator("#user")).to_have_text("ann@hospital.example")
        cookies = {each["name"]: each["sameSite"] for each in page.context.cookies(house.page)}
        assert cookies == {"__Host-triage": "Strict"}
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url(f"{house.page}sign-in**")
        assert not list((house.folder / "sessions").glob("*.json"))
        page.get_by_role("link", name="Sign in with your account").click()
        page.wait_for_url("**/interaction/**")  # it asks who it is
    assert house.attempts() == [("ann@hospital.example", "ann", "0")]


@pytest.mark.parametrize("in_id_token", [True, False])
def test_roles_come_of_the_id_token_or_of_userinfo_and_who_has_none_is_told_so(
    browser: Browser, house: House, in_id_token: bool
):
    with house.provider(inIdToken=in_id_token), house.web():
        for name, shown in (("bob", "bob@hospital.example (admin)"), ("ann", "ann@hospital.example")):
            with watched(browser, 1400, 850) as page:
                to_the_provider(page, house)
                at_the_provider(page, name)
                expect(page.locator("#user")).to_have_text(shown)
        with watched(browser, 1400, 850) as page:
            to_the_provider(page, house)
            at_the_provider(page, "eve")
            expect(page.get_by_role("alert")).to_contain_text("You have no role here")
            assert page.context.cookies(house.page) == []
    assert house.attempts()[-1] == ("eve@hospital.example", "eve", "4")


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
def test_other_ways_to_say_that_it_is_us(browser: Browser, house: House, method: str):
    secret = {} if method != "none" else {"client_secret_file": ""}
    with house.provider(method), house.web(**secret), watched(browser, 1400, 850) as page:
        to_the_provider(page, house)
        at_the_provider(page, "ann")
        expect(page.locator("#user")).to_have_text("ann@hospital.example")


def test_new_keys_and_a_provider_that_is_down_for_a_while(browser: Browser, house: House):
    with house.web() as log, watched(browser, 1400, 850) as page:
        to_the_provider(page, house)
        expect(page.get_by_role("alert")).to_contain_text("The identity provider is not available")
        assert f"127.0.0.1:{house.provider_port} did not answer" in log.read_text()
        page.wait_for_timeout(5_500)  # a failure counts for five seconds
        with house.provider():
            page.get_by_role("link", name="Sign in with your account").click()
            at_the_provider(page, "ann")
            expect(page.locator("#user")).to_have_text("ann@hospital.example")
        page.reload()  # the provider is gone: who is signed in stays so
        expect(page.locator("#user")).to_have_text("ann@hospital.example")
        with house.provider(algorithm="ES256"), watched(browser, 1400, 850) as other:
            to_the_provider(other, house)
            at_the_provider(other, "bob")
            expect(other.locator("#user")).to_have_text("bob@hospital.example (admin)")


def test_a_code_counts_once_for_the_provider_too(browser: Browser, house: House):
    with house.provider(), watched(browser, 1400, 850) as page:
        with house.web():
            to_the_provider(page, house)
            page.wait_for_url("**/interaction/**")
        at_the_provider(page, "ann")  # who leads back to a page that is not there just now
        page.wait_for_url("**/sign-in/callback?**")
        address, (cookie,) = page.url, page.context.cookies(house.page)
        assert (cookie["name"], cookie["sameSite"]) == ("__Host-triage-attempt", "Lax")
        kept = f"{cookie['name']}={cookie['value']}"
        with house.web():
            assert _brought(house, address, kept).headers["location"] == "../"
            assert "wrong=stale" in _brought(house, address, kept).headers["location"]
        with house.web() as log:  # another process, that has not seen it
            assert "wrong=invalid" in _brought(house, address, kept).headers["location"]
            assert "invalid_grant" in log.read_text()


def _brought(house: House, address: str, cookie: str) -> httpx.Response:
    here = f"http://127.0.0.1:{house.web_port}/{address.removeprefix(house.page)}"
    return httpx.get(here, headers={"Cookie": cookie}, trust_env=False)
