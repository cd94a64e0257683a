"""The catalogues of texts, and the language of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import httpx
import pytest
from starlette.requests import Request

from tests.support.redis_server import RedisServer
from tests.support.worklist_page import served
from triage.decision.findings import FindingState
from triage.decision.reasons import Reason
from triage.decision.statement import SCOPE
from triage.decision.types import Tag
from triage.decision.urgency import Urgency
from triage.delivery.record import DeliveryState
from triage.spool.spool import Spool
from triage.web import languages
from triage.web.auth.oidc.errors import SignInProblem
from triage.web.languages import COOKIE, LANGUAGES, accepted, catalogue, language_of

WEB = Path(languages.__file__).parent
ONLY_TRANSLATED = ("finding.", "figure.")
"""Texts of model cards, which are in English already."""
CODED = {
    "tag": Tag,
    "tag_word": Tag,
    "reason": Reason,
    "urgency": Urgency,
    "state": FindingState,
    "delivery_state": DeliveryState,
    "problem": SignInProblem,
}


def _fields(text: object) -> list[set[str]]:
    forms = text.values() if isinstance(text, dict) else [text]
    return [{name for _, name, _, _ in Formatter().parse(form) if name} for form in forms]


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_each_text_is_in_each_catalogue_with_the_same_fields(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert {key for key in other if not key.startswith(ONLY_TRANSLATED)} == set(english)
    for key, text in english.items():
        assert isinstance(other[key], type(text)), key
        assert _fields(other[key]) == _fields(text), key


def test_each_text_is_used_and_each_used_text_is_there() -> None:
    sources = {
        path: path.read_text() for folder in ("page", "auth") for path in (WEB / folder).iterdir() if path.is_file()
    }
    scripts = "\n".join(text for path, text in sources.items() if path.suffix in (".js", ".py"))
    pages = "\n".join(text for path, text in sources.items() if path.suffix == ".html")
    groups = {key.partition(".")[0] for key in catalogue("en")}
    named = set(re.findall(r"\$\{([a-z_]+\.\w+)\}", pages))
    named |= {key for key in re.findall(r'"([a-z_]+\.\w+)"', scripts) if key.partition(".")[0] in groups}
    begun = set(re.findall(r'[`"]([a-z_]+\.[a-z_]*)(?:\$\{|\{)', scripts))
    begun |= {f"{kind}." for kind in re.findall(r'coded\("(\w+)"', scripts)}
    assert named <= set(catalogue("en"))
    assert [key for key in catalogue("en") if key not in named and not key.startswith(tuple(begun))] == []


@pytest.mark.parametrize("group", CODED)
def test_each_code_has_a_text(group: str) -> None:
    assert {f"{group}.{code}" for code in CODED[group]} <= set(catalogue("en"))


def test_the_scope_on_the_page_is_that_of_every_message() -> None:
    assert catalogue("en")["study.scope"] == SCOPE


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr,en;q=0.3,de;q=0.7", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=much", "en"),
        ("*", "en"),
    ],
)
def test_the_browser_says_what_it_prefers(header: str, language: str) -> None:
    assert accepted(header) == language


@pytest.mark.parametrize(("setting", "cookie", "language"), [("de", "", "de"), ("auto", "", "en"), ("de", "en", "en")])
def test_the_site_says_it_for_users_who_chose_none(setting: str, cookie: str, language: str) -> None:
    headers = [(b"accept-language", b"en"), (b"cookie", f"{COOKIE}={cookie}".encode())]
    assert language_of(Request({"type": "http", "headers": headers}), setting) == language


@pytest.fixture
def address(redis_server: RedisServer, spool: Spool) -> Iterator[str]:
    with served(redis_server, spool) as (found, _):
        yield found


def test_what_a_user_has_chosen_comes_before_the_browser_and_is_kept(address: str) -> None:
    def shown(page: str, **headers: str) -> str:
        found = re.search(r'<html lang="(\w+)"', ask.get(page, headers=headers).text)
        return found[1] if found else ""

    with httpx.Client(base_url=address, trust_env=False) as ask:
        for page in ("/", "/studies/1.2", "/adjudication", "/locked"):
            assert shown(page) == "en"
            assert shown(page, **{"Accept-Language": "de"}) == "de"
            assert shown(page, **{"Accept-Language": "de", "Cookie": "triage-language=en"}) == "en"
            assert shown(page, Cookie="triage-language=../../etc/passwd") == "en"
        assert ask.post("/api/preferences", json={"language": "de"}).json()["language"] == "de"
        assert ask.get("/api/preferences").json()["language"] == "de"
        assert ask.post("/api/preferences", json={"language": "xx"}).status_code == 400
