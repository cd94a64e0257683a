"""Signing in at an identity provider and back, over real sockets, with a provider that also does it all wrong."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import audit_schema as schema
from tests.support.certificates import authority, server_context
from tests.support.identity_provider import CLIENT, PAGE, SECRET, IdentityProvider, Visitor, a_key, identity_provider
from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import READER, SignedInWeb, quick_passwords, signed_in_web
from tests.support.wait import wait_for
from tests.support.worklist_page import tagged
from triage.errors import StartError
from triage.spool.spool import Spool
from triage.web.auth.oidc import document_cache
from triage.web.auth.oidc.errors import SignInProblem
from triage.web.languages import text

SESSION, ATTEMPT = "__Host-triage", "__Host-triage-attempt"
ROLES = {"reader_roles": ("radiology",), "admin_roles": ("pacs-admins",)}


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        yield found


@pytest.fixture
def at(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Callable[..., Any]:
    """A house whose people sign in at an issuer."""

    @contextmanager
    def served(issuer: str, sign_in: dict[str, Any] | None = None, **oidc: Any) -> Iterator[SignedInWeb]:
        given = {"issuer": issuer, "client_id": CLIENT, "page_address": PAGE, "timeout_s": 10, **oidc}
        settings = {"method": "oidc", **ROLES, **(sign_in or {})}
        with signed_in_web(redis_server, spool, tmp_path, oidc=given, **settings) as found:
            yield found

    return served


@pytest.fixture
def home(provider: IdentityProvider, at: Callable[..., Any]) -> Iterator[SignedInWeb]:
    with at(provider.issuer) as found:
        yield found


def _message(problem: str) -> str:
    return text("en", f"problem.{problem}")


def wrong(answer: Any) -> str:
    """The problem with which a browser is sent back to the sign-in page."""
    assert answer.status_code == 303, answer.text
    assert SESSION not in answer.headers.get("set-cookie", "").replace(ATTEMPT, "")
    place, _, query = answer.headers["location"].partition("?wrong=")
    assert place == "../sign-in"
    return str(query.partition("&")[0])


def attempts(home: SignedInWeb) -> list[tuple[str, str | None, str]]:
    """Name, the provider's name, and outcome of what the audit trail has of signing in."""
    found = []
    for each in schema.messages(home.audit):
        if schema.kind(each) == "110122":
            who = next(one for one in each.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true")
            found.append((who.get("UserID", ""), who.get("AlternativeUserID"), schema.event(each)[2]))
    return found


def test_one_signs_in_lands_on_the_study_and_is_in_the_audit_trail(home: SignedInWeb, provider: IdentityProvider):
    study = tagged(home.sources.spool, home.sources.worklist, 1).study_instance_uid
    visitor = Visitor(home.address)
    page = visitor.ask(f"/sign-in?next=/studies/{study}")
    assert (page.status_code, "form-action 'self'" in page.headers["content-security-policy"]) == (200, True)
    assert f'href="sign-in/begin?next=%2Fstudies%2F{study}"' in page.text
    assert '<form method="post" action="sign-in" hidden>' in page.text
    sent = visitor.begin(f"/studies/{study}")
    cookie = sent.headers["set-cookie"]
    assert all(word in cookie for word in (ATTEMPT, "HttpOnly", "Max-Age=600", "Path=/", "SameSite=lax", "Secure"))
    assert not any(value in sent.headers["location"] for value in visitor.cookies.values())
    back = visitor.come_back(provider.sign_in(sent.headers["location"]))
    assert (back.status_code, back.headers["location"]) == (303, f"../studies/{study}")
    assert back.headers["referrer-policy"] == "no-referrer"
    cookies = {each.partition("=")[0]: each for each in back.headers.get_list("set-cookie")}
    assert all(word in cookies[SESSION] for word in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"))
    assert list(visitor.cookies) == [SESSION]
    session = visitor.ask("/api/session").json()
    assert session == {"user": "ann", "role": "reader", "local": False, "sign_out": "/api/sign-out"}
    assert visitor.ask(f"/api/studies/{study}").status_code == 200
    assert visitor.ask("/api/requeue", "POST", json={"key": "1.2"}).status_code == 403
    assert attempts(home) == [("ann", "248289", "0")]
    assert home.count("sign_ins", outcome="accepted") == 1
    assert visitor.ask("/sign-in").headers["location"] == "./"
    (file,) = home.sessions
    assert file.stat().st_mode & 0o077 == 0


def test_an_admin_of_the_provider_is_one_here(home: SignedInWeb, provider: IdentityProvider):
    provider.claims["roles"] = ["pacs-admins"]
    visitor = Visitor(home.address)
    visitor.sign_in(provider)
    assert visitor.ask("/api/session").json()["role"] == "admin"
    assert visitor.ask("/api/requeue", "POST", json={"key": "1.2"}).status_code == 400  # none is called so


def test_one_is_led_to_pages_of_ours_alone(home: SignedInWeb, provider: IdentityProvider):
    foreign = [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/studies/1.2/../..",
        "/api/session",
        "\r\nX:",
    ]
    for page in foreign:
        assert Visitor(home.address).sign_in(provider, page).headers["location"] == "../"
        visitor = Visitor(home.address)
        back = provider.sign_in(visitor.begin().headers["location"])
        visitor.cookies[ATTEMPT] = f"{visitor.cookies[ATTEMPT].partition('.')[0]}.{quote(page, safe='')}"
        assert visitor.come_back(back).headers["location"] == "../"


def test_an_answer_counts_in_the_browser_that_began_and_once(home: SignedInWeb, provider: IdentityProvider):
    one, other = Visitor(home.address), Visitor(home.address)
    one_back, other_back = (provider.sign_in(each.begin().headers["location"]) for each in (one, other))
    assert wrong(Visitor(home.address).come_back(one_back)) == SignInProblem.STALE  # a browser without an attempt
    assert wrong(one.come_back(other_back)) == SignInProblem.STALE  # the response of another browser
    assert wrong(one.come_back(one_back.replace("state=", "state=x"))) == SignInProblem.STALE
    assert provider.redeemed == []  # no code was shown to the provider
    cookies = dict(one.cookies)
    assert one.come_back(one_back).headers["location"] == "../"
    again = Visitor(home.address, cookies)
    assert wrong(again.come_back(one_back)) == SignInProblem.STALE
    assert len(provider.redeemed) == 1
    assert [each[2] for each in attempts(home)] == ["8", "0"]  # a stranger's many tries are one line
    assert home.count("sign_ins", outcome="invalid") == 4


def test_a_code_that_the_provider_does_not_know_any_more_signs_nobody_in(home: SignedInWeb, provider: IdentityProvider):
    visitor = Visitor(home.address)
    back = provider.sign_in(visitor.begin().headers["location"])
    provider.codes.clear()
    assert wrong(visitor.come_back(back)) == SignInProblem.INVALID
    assert wrong(visitor.come_back(back)) == SignInProblem.STALE


def test_answers_that_are_none_are_said_in_words(
    home: SignedInWeb, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
):
    for more, word in {
        "&error=access_denied": SignInProblem.DENIED,
        "&error=server_error": SignInProblem.UNREACHABLE,
        "&error=%3Cscript%3E%0D%0Apatient": SignInProblem.UNREACHABLE,
        "&code=": SignInProblem.INVALID,
        "&code=a&code=b": SignInProblem.INVALID,
        "&code=a&iss=https%3A%2F%2Fevil.example": SignInProblem.INVALID,
        f"&code={'a' * 5000}": SignInProblem.INVALID,
    }.items():
        visitor = Visitor(home.address)
        state = provider.sign_in(visitor.begin().headers["location"]).partition("&state=")[2]
        answer = visitor.come_back(f"{PAGE}sign-in/callback?state={state}{more}")
        assert wrong(answer) == word, more
        page = visitor.ask(answer.headers["location"].removeprefix(".."))
        assert _message(word) in page.text
        assert "script" not in page.text
    assert "patient" not in caplog.text
    assert provider.redeemed == []


def test_words_of_others_are_not_shown_on_the_page(home: SignedInWeb):
    page = Visitor(home.address).ask("/sign-in?wrong=Call%20555&next=//evil.example")
    assert "555" not in page.text
    assert 'href="sign-in/begin?next=%2F"' in page.text


def test_an_id_token_that_does_not_hold_signs_nobody_in(home: SignedInWeb, provider: IdentityProvider):
    for token in (
        lambda self, claims: self.signed({**claims, "nonce": "another"}, self.keys[0]),
        lambda self, claims: "a.b.c",
        lambda self, claims: None,
    ):
        provider.token = token
        assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.INVALID
    assert home.sessions == []
    assert attempts(home) == [("", None, "8")]


def test_who_has_no_name_or_no_role_here_is_refused_with_words_and_written_down(
    home: SignedInWeb, provider: IdentityProvider
):
    for name, roles, word in (
        ("ann", ["others"], SignInProblem.NO_ROLE),
        ("ann", {"radiology": 1}, SignInProblem.NO_ROLE),
        (["ann"], ["radiology"], SignInProblem.NO_NAME),
    ):
        provider.claims = {"sub": "248289", "preferred_username": name, "roles": roles}
        visitor = Visitor(home.address)
        answer = visitor.sign_in(provider)
        assert wrong(answer) == word
        assert _message(word) in visitor.ask(answer.headers["location"].removeprefix("..")).text
        assert visitor.ask("/api/session").status_code == 401
    assert attempts(home) == [("ann", "248289", "4"), ("ann", "248289", "4"), ("", "248289", "4")]


def test_what_the_id_token_lacks_comes_of_userinfo_if_it_is_the_same_person(
    home: SignedInWeb, provider: IdentityProvider
):
    provider.claims = {"sub": "1"}
    provider.userinfo = {"sub": "1", "preferred_username": "carol", "roles": "radiology", "iss": "https://evil.example"}
    visitor = Visitor(home.address)
    visitor.sign_in(provider)
    assert visitor.ask("/api/session").json()["user"] == "carol"
    provider.userinfo["sub"] = "2"
    assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.INVALID
    provider.userinfo = None
    assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.UNREACHABLE


def test_new_keys_are_asked_for_once_and_not_again_in_the_same_minute(home: SignedInWeb, provider: IdentityProvider):
    Visitor(home.address).sign_in(provider)
    assert provider.asked["/keys"] == 1
    provider.keys = [a_key("two")]
    visitor = Visitor(home.address)
    visitor.sign_in(provider)
    assert visitor.ask("/api/session").status_code == 200
    assert (provider.asked["/keys"], provider.asked["/.well-known/openid-configuration"]) == (2, 1)
    provider.token = lambda self, claims: self.signed(claims, a_key("three"))
    for _ in range(3):
        assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.INVALID
    assert provider.asked["/keys"] == 2


@contextmanager
def misled(provider: IdentityProvider) -> Iterator[Callable[[str, Callable[[Any], None]], None]]:
    """Has the provider do something else at a path, until the end."""
    released = threading.Event()

    def mislead(path: str, instead: Callable[[Any], None]) -> None:
        def answer(handler: Any) -> None:
            handler.server.released = released
            instead(handler)

        provider.instead = {path: answer}

    try:
        yield mislead
    finally:
        released.set()


def hang(handler: Any) -> None:
    handler.server.released.wait(20)


def drip(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b" ")


def flood(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a": "' + b"x" * 8_000_000 + b'"}')


def lead_elsewhere(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


def nest(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 60_000)


@pytest.mark.usefixtures(quick_passwords.__name__)
@pytest.mark.parametrize(
    ("path", "instead"),
    [("/token", hang), ("/keys", drip), ("/userinfo", flood), ("/token", lead_elsewhere), ("/keys", nest)],
)
def test_a_provider_that_hangs_drips_or_floods_keeps_nobody_else_waiting(
    at: Callable[..., Any], provider: IdentityProvider, path: str, instead: Callable[[Any], None]
):
    provider.claims = {"sub": "1"}
    with (
        at(provider.issuer, timeout_s=2, local_users=True) as home,
        home.ask(READER) as ann,
        misled(provider) as mislead,
    ):
        visitor, found = Visitor(home.address), list[Any]()
        back = provider.sign_in(visitor.begin().headers["location"])
        mislead(path, instead)
        waiting = threading.Thread(target=lambda: found.append(visitor.come_back(back)))
        waiting.start()
        assert ann.get("/api/worklist").status_code == 200
        waiting.join()
        assert wrong(found[0]) == SignInProblem.UNREACHABLE
        assert home.sessions == []


def test_a_discovery_that_hangs_is_given_up_and_not_waited_for_by_everybody(
    at: Callable[..., Any], provider: IdentityProvider
):
    path = "/.well-known/openid-configuration"
    with at(provider.issuer, timeout_s=0.5) as home, misled(provider) as mislead:
        mislead(path, hang)
        for _ in range(10):  # once in fact, and then at once
            assert wrong(Visitor(home.address).begin()) == SignInProblem.UNREACHABLE
        assert provider.asked[path] <= 3
        assert Visitor(home.address).ask("/healthz").status_code == 200


def test_one_address_takes_four_of_the_threads_and_is_told_to_try_again(
    at: Callable[..., Any], provider: IdentityProvider
):
    with at(provider.issuer, {"trusted_proxies": ("127.0.0.1",)}, timeout_s=20) as home, misled(provider) as mislead:
        headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
        crowd = [Visitor(home.address, headers=headers) for _ in range(5)]
        backs = [provider.sign_in(each.begin().headers["location"]) for each in crowd]
        mislead("/token", hang)
        threads = [
            threading.Thread(target=visitor.come_back, args=(back,))
            for visitor, back in zip(crowd[:4], backs[:4], strict=True)
        ]
        for each in threads:
            each.start()
        wait_for(lambda: provider.asked["/token"] == 4, "four that wait")
        assert wrong(crowd[4].come_back(backs[4])) == SignInProblem.CROWDED
        other = Visitor(home.address, headers={**headers, "X-Forwarded-For": "192.0.2.2"})
        assert other.begin().headers["location"].startswith(provider.issuer)
    for each in threads:
        each.join()


def test_a_provider_that_is_down_stops_nothing_and_is_asked_when_it_is_back(
    at: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(document_cache, "_RETRY_AFTER_S", 0.2)
    with identity_provider() as gone:
        port = int(gone.issuer.rpartition(":")[2])
    with at(gone.issuer) as home:
        answer = Visitor(home.address).begin()
        assert wrong(answer) == SignInProblem.UNREACHABLE
        assert f"127.0.0.1:{port} did not answer" in caplog.text
        assert _message(SignInProblem.UNREACHABLE) in Visitor(home.address).ask(answer.headers["location"][2:]).text
        assert home.count("sign_ins", outcome="failed") == 1
        with identity_provider(port) as back:
            visitor = Visitor(home.address)
            wait_for(lambda: back.issuer in visitor.begin().headers["location"], "the provider to be asked again", 30)
            visitor.sign_in(back)
            assert visitor.ask("/api/session").status_code == 200


def test_a_document_that_leads_astray_is_not_followed(home: SignedInWeb, provider: IdentityProvider):
    provider.document = {"authorization_endpoint": "http://id.hospital.example/authorize"}
    visitor = Visitor(home.address)
    assert wrong(visitor.begin()) == SignInProblem.UNREACHABLE
    assert ATTEMPT not in visitor.cookies


def test_a_provider_that_names_itself_in_its_answers_has_to(home: SignedInWeb, provider: IdentityProvider):
    provider.document = {"authorization_response_iss_parameter_supported": True}
    assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.INVALID
    provider.says_issuer = provider.issuer
    assert Visitor(home.address).sign_in(provider).headers["location"] == "../"


def test_a_session_ends_when_nobody_does_anything_and_in_any_case(home: SignedInWeb, provider: IdentityProvider):
    visitor = Visitor(home.address)
    visitor.sign_in(provider)
    (file,) = home.sessions
    old = time.time() - 29 * 60
    os.utime(file, (old, old))
    assert visitor.ask("/api/session").status_code == 200
    assert file.stat().st_mtime > old
    old = time.time() - 31 * 60
    os.utime(file, (old, old))
    refused = visitor.ask("/api/session")
    assert (refused.status_code, refused.headers["www-authenticate"].startswith("Form ")) == (401, True)
    assert home.sessions == []
    visitor.sign_in(provider)
    (file,) = home.sessions
    session = json.loads(file.read_bytes())
    file.write_text(json.dumps({**session, "began": time.time() - 13 * 3600}))
    assert visitor.ask("/api/session").status_code == 401


def test_a_session_outlives_the_process_and_not_the_settings_that_its_role_rests_on(
    at: Callable[..., Any], provider: IdentityProvider, tmp_path: Path
):
    with at(provider.issuer) as home:
        visitor = Visitor(home.address)
        visitor.sign_in(provider)
    with at(provider.issuer) as home:
        assert Visitor(home.address, visitor.cookies).ask("/api/session").json()["user"] == "ann"
    with at(provider.issuer, {"reader_roles": ("radiology", "others")}) as home:
        assert Visitor(home.address, visitor.cookies).ask("/api/session").status_code == 401
    (file,) = (tmp_path / "sessions").glob("*.json")
    session = json.loads(file.read_bytes())
    file.write_text(json.dumps({**session, "provided": {**session["provided"], "role": "owner"}}))
    with at(provider.issuer) as home:
        assert Visitor(home.address, visitor.cookies).ask("/api/session").status_code == 401
    with at(provider.issuer, {"method": "users"}) as home:  # nor is it one of a user of our own
        assert Visitor(home.address, visitor.cookies).ask("/api/session").status_code == 401


def test_one_signs_out_of_the_provider_too(home: SignedInWeb, provider: IdentityProvider):
    visitor = Visitor(home.address)
    visitor.sign_in(provider)
    said = visitor.ask("/api/sign-out", "POST").json()
    place, _, query = said["leave"].partition("?")
    assert place == f"{provider.issuer}/leave"
    assert "id_token_hint=ey" in query
    assert f"client_id={CLIENT}" in query
    assert "post_logout_redirect_uri=https%3A%2F%2Ftriage.hospital.example%2Flists%2Fsign-in" in query
    assert home.sessions == []
    assert visitor.ask("/api/session").status_code == 401
    (out,) = [each for each in schema.messages(home.audit) if schema.kind(each) == "110123"]
    assert schema.who(out) == ("ann", "127.0.0.1")


def test_a_session_that_cannot_be_kept_is_none(home: SignedInWeb, provider: IdentityProvider):
    (home.folder / "sessions").write_text("where the folder should be")
    visitor = Visitor(home.address)
    answer = visitor.sign_in(provider)
    assert wrong(answer) == SignInProblem.NOT_SAVED
    assert _message(SignInProblem.NOT_SAVED) in visitor.ask(answer.headers["location"].removeprefix("..")).text
    assert attempts(home) == [("ann", "248289", "8")]


def test_signing_out_needs_no_provider(at: Callable[..., Any]):
    with identity_provider() as provider:
        provider.document = {"end_session_endpoint": None}
        with at(provider.issuer) as home:
            visitor = Visitor(home.address)
            visitor.sign_in(provider)
            assert visitor.ask("/api/sign-out", "POST").json() == {"page": "/sign-in"}
            visitor.sign_in(provider)
    with at(provider.issuer) as home:  # started anew, and the provider is gone
        there = Visitor(home.address, visitor.cookies)
        assert there.ask("/api/sign-out", "POST").json() == {"page": "/sign-in"}
        assert home.sessions == []


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["private_key_jwt", "client_secret_basic"]])
def test_the_secret_comes_of_a_file_as_it_is_now_in_the_way_that_the_provider_wants(
    at: Callable[..., Any], provider: IdentityProvider, tmp_path: Path, methods: list[str] | None,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    caplog.set_level(logging.INFO)
    provider.secret = SECRET
    provider.document = {"token_endpoint_auth_methods_supported": methods}
    file = tmp_path / "secret"
    file.write_text("wrong\n")
    with at(provider.issuer, client_secret_file=file) as home:
        assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.UNREACHABLE
        assert "invalid_client: see oidc.client_id and client_secret_file" in caplog.text
        file.write_text(f"{SECRET}\n")
        assert Visitor(home.address).sign_in(provider).headers["location"] == "../"
        assert ("authorization" in provider.redeemed[1]) and bool(provider.redeemed[1]["authorization"]) == (
            methods != ["client_secret_post"]
        )
        file.unlink()
        assert wrong(Visitor(home.address).sign_in(provider)) == SignInProblem.UNREACHABLE
        assert "oidc.client_secret_file" in caplog.text
    assert "patient" not in caplog.text
    assert "odd+" not in caplog.text
    with pytest.raises(StartError, match=r"oidc\.client_secret_file"), at(provider.issuer, client_secret_file=file):
        pass


def test_over_tls_the_provider_is_checked_against_the_authority_that_is_set(
    at: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    ca = authority(tmp_path)
    context = server_context(ca.certificate("provider"))
    with identity_provider(context=context) as provider:
        with at(provider.issuer, ca_file=ca.path) as home:
            assert Visitor(home.address).sign_in(provider).headers["location"] == "../"
        with at(provider.issuer) as home:
            assert wrong(Visitor(home.address).begin()) == SignInProblem.UNREACHABLE
            assert "signed by no authority that we were given" in caplog.text
    with pytest.raises(StartError, match=r"oidc\.ca_file"), at(provider.issuer, ca_file=tmp_path / "none.pem"):
        pass


def test_nobody_signs_in_over_plain_http(at: Callable[..., Any], provider: IdentityProvider):
    with at(provider.issuer, {"trusted_proxies": ("127.0.0.1",)}) as home:
        headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}
        assert wrong(Visitor(home.address, headers=headers).begin()) == SignInProblem.PLAIN_HTTP
        assert provider.asked.total() == 0


@pytest.mark.usefixtures(quick_passwords.__name__)
def test_users_of_our_own_come_in_too_where_the_settings_say_so(at: Callable[..., Any], provider: IdentityProvider):
    with at(provider.issuer) as home, home.ask(READER) as program:
        refused = program.get("/api/worklist")
        assert (refused.status_code, refused.headers["www-authenticate"].partition(" ")[0]) == (401, "Form")
        assert program.post("/sign-in", data={"name": READER[0], "password": READER[1]}).status_code == 405
    with at(provider.issuer, local_users=True) as home, home.ask(READER) as program:
        assert program.get("/api/worklist").status_code == 200
        assert '<form method="post" action="sign-in" >' in Visitor(home.address).ask("/sign-in").text
        visitor = Visitor(home.address, {SESSION: home.cookie().partition("=")[2]})
        assert visitor.ask("/api/session").json()["user"] == "ann"
        assert visitor.ask("/api/sign-out", "POST").json() == {"page": "/sign-in"}
        other = Visitor(home.address)
        other.sign_in(provider)
        assert other.ask("/api/session").json()["user"] == "ann"
        assert [each[1] for each in attempts(home)] == [None, "248289"]
