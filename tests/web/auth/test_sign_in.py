"""Access over HTTP, the role of a caller, and the end of a session: over real sockets."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support import audit_schema as schema
from tests.support.redis_server import RedisServer
from tests.support.service import roles
from tests.support.signed_in_web import ADMIN, COOKIE, READER, SignedInWeb, quick_passwords, signed_in_web, write_users
from tests.support.wait import wait_for
from tests.support.worklist_page import tagged
from triage.errors import EXIT_CANNOT_START, StartError
from triage.security import passwords
from triage.security.file_users import FileUsers
from triage.security.passwords import COST, PasswordHash, ScryptCost
from triage.security.roles import Role
from triage.settings.sections.sign_in import SignInSettings
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.web.app import RequestPolicy, create_app
from triage.web.auth.guard import NoRuleError
from triage.web.auth.route_rules import RULES, Trace
from triage.web.auth.setup import AccessSettings
from triage.web.server import ListOptions, RedisAddress, run

pytestmark = pytest.mark.usefixtures(quick_passwords.__name__)
ANY = {"{study_instance_uid}": "1.2.3", "{name}": "1.2+" + "a" * 64, "{workitem}": "1.2.3"}


def address_of(rule: str) -> tuple[str, str]:
    method, _, path = rule.partition(" ")
    for name, value in ANY.items():
        path = path.replace(name, value)
    return method, path


@pytest.fixture
def home(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> Iterator[SignedInWeb]:
    with signed_in_web(redis_server, spool, tmp_path) as found:
        yield found


def starts(spool: Spool, tmp_path: Path, host: str, **sign_in: object) -> None:
    settings = SignInSettings.model_validate({"users_file": tmp_path / "users.json", **sign_in})
    web = WebSettings(host=host, port=0)
    run(web, spool, RedisAddress("unix:///nowhere", 1), ListOptions(), AccessSettings(settings))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "triage.hospital.example"])
def test_off_loopback_nothing_starts_without_sign_in(spool: Spool, tmp_path: Path, host: str) -> None:
    with pytest.raises(StartError, match=r"sign_in\.method to users .*triage user add.* proxy"):
        starts(spool, tmp_path, host)


def test_off_loopback_passwords_do_not_cross_the_network_unread(spool: Spool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match=r"sign_in\.trusted_proxies, or set sign_in\.plain_http"):
        starts(spool, tmp_path, "0.0.0.0", method="users")


def test_a_file_of_users_that_others_can_read_is_refused(spool: Spool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_users(tmp_path).chmod(0o644)
    with pytest.raises(StartError, match="chmod 0600"):
        starts(spool, tmp_path, "127.0.0.1", method="users")


def test_a_trail_that_cannot_be_written_is_said_at_start(redis_server: RedisServer, spool: Spool, tmp_path: Path):
    (tmp_path / "audit" / "audit.xml").mkdir(parents=True)
    with pytest.raises(StartError, match=r"audit\.path"), signed_in_web(redis_server, spool, tmp_path):
        pass


def test_a_route_of_which_nobody_has_said_who_may_ask_does_not_start(home: SignedInWeb) -> None:
    async def secret(request: Request) -> Response:
        return Response("secret")

    with pytest.raises(NoRuleError, match=r"GET /api/secret: add its access rule to triage/web/auth/route_rules\.py"):
        create_app(home.sources, RequestPolicy(), [Route("/api/secret", secret)])


def test_every_route_but_the_open_ones_asks_who_it_is_and_refuses_the_wrong_role(home: SignedInWeb) -> None:
    with home.ask() as anonymous, home.ask(READER) as reader:
        for name, rule in RULES.items():
            method, path = address_of(name)
            status = anonymous.request(method, path).status_code
            assert (status == 401) == (rule.needs is not None), name
            if rule.needs is Role.ADMIN:
                refused = reader.request(method, path, json={"key": "1.2"})
                assert (refused.status_code, refused.json()["error"]) == (403, "this needs the role admin"), name
        assert anonymous.head("/api/worklist").status_code == 401


OF_NO_STUDY = (  # they change no study, and answer with no word of a patient or a result, for a study that was opened
    "POST /api/shown",
    "POST /api/studies/{study_instance_uid}/presence",
    "GET /api/studies/{study_instance_uid}/standing",
)


def test_everything_that_changes_or_shows_a_study_has_a_rule_that_says_so() -> None:
    for name, rule in RULES.items():
        method, path = name.split(" ")
        of_no_study = ("/sign-in", "/api/sign-out", "/api/session/lock")
        if path in of_no_study or path.startswith("/workitems/{workitem}/subscribers"):
            continue  # of no study, and what is refused to everybody
        if name in ("POST /api/search", "POST /api/list"):  # they change nothing: what is looked for is in the body
            assert (rule.needs, rule.trace) == (Role.READER, Trace.SEARCH)
            continue
        if name in ("POST /api/preferences", *OF_NO_STUDY):  # how the list is arranged for this user alone
            assert rule.needs is Role.READER
            continue
        assert method == "GET" or (rule.needs is not None and rule.act is not None), name
        if re.search(r"\{(study_instance_uid|workitem)\}", path) and path != "/studies/{study_instance_uid}":
            assert rule.needs is not None, name
            assert rule.act is not None or rule.trace is Trace.VIEW, name


def test_what_is_open_names_no_patient_and_no_study(home: SignedInWeb) -> None:
    study = tagged(home.sources.spool, home.sources.worklist, 1)
    with home.ask(READER) as reader:
        assert (
            reader.get(f"/api/studies/{study.study_instance_uid}").json()["patient"]["PatientName"] == "PHANTOM^CHEST"
        )
    with home.ask() as anonymous:
        for name, rule in RULES.items():
            if rule.needs is None and name.startswith("GET"):
                path = address_of(name)[1].replace("1.2.3", study.study_instance_uid)
                text = anonymous.get(path).text
                assert not re.search(
                    f"PHANTOM|{study.study_instance_uid}|{study.accession_number}|\\b(ann|bob)\\b", text
                ), path


def test_requests_of_other_sites_change_nothing_and_sign_nobody_in(home: SignedInWeb) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}
    cookie = home.cookie()
    with home.ask(Cookie=cookie) as ask:
        for name in RULES:
            method, path = address_of(name)
            if method != "GET":
                assert all(ask.request(method, path, headers=each).status_code == 403 for each in foreign), name
        assert ask.get("/api/session").status_code == 200  # and no user was signed out
    assert len(home.sessions) == 1


def test_a_session_begins_with_the_right_password_and_a_cookie_that_scripts_cannot_read(home: SignedInWeb) -> None:
    with home.ask() as ask:
        wrong = ask.post("/sign-in", data={"name": READER[0], "password": "wrong"})
        unknown = ask.post("/sign-in", data={"name": "unknown", "password": READER[1]})
        right = ask.post("/sign-in", data={"name": "ANN", "password": READER[1], "next": "/studies/1.2"})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    said = [re.search('role="alert" >([^<]+)', each.text) for each in (wrong, unknown)]
    assert [each and each[1] for each in said] == ["Name or password is wrong."] * 2
    assert "set-cookie" not in wrong.headers
    assert (right.status_code, right.headers["location"]) == (303, "./studies/1.2")
    assert re.fullmatch(
        rf"{COOKIE}=[\w-]{{43}}; HttpOnly; Path=/; SameSite=strict; Secure", right.headers["set-cookie"]
    )
    cookie = right.headers["set-cookie"].partition(";")[0]
    with home.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session").json() == {
            "user": "ann", "role": "reader", "local": False, "sign_out": "/api/sign-out",
        }  # fmt: skip
        assert ask.get("/sign-in").status_code == 303  # nothing to do there
    (file,) = home.sessions
    assert cookie.partition("=")[2] not in file.name + file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("next_page", ["//evil.example", "https://evil.example", "/studies/1.2\r\nX: y", "/\\evil"])
def test_one_is_led_nowhere_else(home: SignedInWeb, next_page: str) -> None:
    with home.ask() as ask:
        answer = ask.post("/sign-in", data={"name": READER[0], "password": READER[1], "next": next_page})
        assert answer.headers["location"] == "./"
        page = ask.get("/sign-in", params={"next": '"><script>alert(1)</script>'})
        assert "<script>" not in page.text


def test_nonsense_at_the_door_is_refused(home: SignedInWeb) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with home.ask() as ask:
        assert ask.post("/sign-in", json={"name": "ann"}).status_code == 415
        assert ask.post("/sign-in", content=b"x" * 9000, headers=form).status_code == 413
        assert ask.post("/sign-in", content=b"\xff=%ff&&&", headers=form).status_code == 400
        assert ask.post("/sign-in", content=b"", headers=form).status_code == 400
        assert ask.post("/sign-in", data={"name": "ann\x00<b>", "password": "x" * 3000}).status_code == 401
        for value in ("Basic", "Basic !!!", "Basic YQ==", "Bearer abc", "Basic " + "A" * 5000):
            assert ask.get("/api/session", headers={"Authorization": value}).status_code == 401
        program = ask.get("/api/session").headers["www-authenticate"]
        browser = ask.get("/api/session", headers={"User-Agent": "Mozilla/5.0 (X11; Linux)"}).headers[
            "www-authenticate"
        ]
    assert (program.split()[0], browser.split()[0]) == ("Basic", "Form")


def test_a_cookie_that_was_tampered_with_is_nobody_s(home: SignedInWeb) -> None:
    cookie = home.cookie()
    token = cookie.partition("=")[2]
    tampered = [token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], token + "A", "", "../" * 14 + "x", "é"]
    tampered += [path.stem for path in home.sessions]
    for value in tampered:
        with home.ask() as ask:
            answer = ask.get("/api/session", headers={"Cookie": f"{COOKIE}={value}".encode()})
            assert answer.status_code == 401, value
    with home.ask(Cookie=f"triage={token}") as ask:  # another name than ours
        assert ask.get("/api/session").status_code == 401
    (file,) = home.sessions
    file.write_text("{")
    with home.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session").status_code == 401


def test_a_session_ends_idle_after_its_longest_time_and_only_what_a_person_does_prolongs_it(home: SignedInWeb) -> None:
    cookie = home.cookie()
    (file,) = home.sessions
    old = time.time() - 29 * 60
    os.utime(file, (old, old))
    with home.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session", headers={"X-Triage-Idle": "1"}).status_code == 200
        assert file.stat().st_mtime == old
        assert ask.get("/api/session").status_code == 200
        assert file.stat().st_mtime > old
        os.utime(file, (old - 120, old - 120))
        assert ask.get("/api/session").status_code == 401
        assert not file.exists()
    cookie = home.cookie()
    (file,) = home.sessions
    file.write_text(re.sub(r'"began": [0-9.]+', f'"began": {time.time() - 12 * 3600 - 1}', file.read_text()))
    with home.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session").status_code == 401


def test_a_session_ends_with_a_new_password_or_role_and_with_the_user(home: SignedInWeb) -> None:
    users = FileUsers(home.folder / "users.json")
    password = READER[1]
    for change in (
        lambda: users.change_role("ann", Role.ADMIN),
        lambda: users.change_password("ann", "quite another password"),
        lambda: users.remove("ann"),
    ):
        with home.ask(Cookie=home.cookie("ann", password)) as ask, home.ask(("ann", password)) as program:
            assert (ask.get("/api/session").status_code, program.get("/api/session").status_code) == (200, 200)
            change()
            password = "quite another password" if program.get("/api/session").status_code == 401 else password
            assert ask.get("/api/session").status_code == 401
    with home.ask(("ann", password)) as program:
        assert program.get("/api/session").status_code == 401


def test_one_signs_out_and_the_cookie_is_worth_nothing_then(home: SignedInWeb) -> None:
    cookie = home.cookie()
    with home.ask(Cookie=cookie) as ask:
        answer = ask.post("/api/sign-out", json={})
        assert (answer.status_code, answer.json()) == (200, {"page": "/sign-in"})
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert ask.get("/api/session").status_code == 401
    assert home.sessions == []


def test_signing_in_ends_the_session_that_the_browser_had(home: SignedInWeb) -> None:
    cookie = home.cookie()
    with home.ask(Cookie=cookie) as ask:
        assert ask.post("/sign-in", data={"name": ADMIN[0], "password": ADMIN[1]}).status_code == 303
        assert ask.get("/api/session").status_code == 401


def test_sessions_outlive_the_web_process(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    with signed_in_web(redis_server, spool, tmp_path) as first:
        cookie = first.cookie()
    with signed_in_web(redis_server, spool, tmp_path) as second, second.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session").status_code == 200


@contextmanager
def watching(home: SignedInWeb, headers: dict[str, str]) -> Iterator[list[str]]:
    """Collect the events of the stream of changes; the list ends with END when the stream does."""
    said: list[str] = []

    def listen() -> None:
        with home.ask() as ask, ask.stream("GET", "/api/changes", headers=headers) as answer:
            said.append(str(answer.status_code))
            said.extend(line for line in answer.iter_lines() if line.startswith("event"))
        said.append("END")

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield said
    finally:
        thread.join(60)


def test_the_stream_ends_with_the_session(home: SignedInWeb) -> None:
    cookie = home.cookie()
    with watching(home, {"Cookie": cookie}) as said:
        wait_for(lambda: "event: list" in said, "the first event")
        with home.ask(Cookie=cookie) as ask:
            ask.post("/api/sign-out", json={})
        wait_for(lambda: "END" in said, "the end of the stream")
    assert said[0] == "200"
    assert said[-2:] == ["event: signed-out", "END"]


def test_programs_come_with_basic_and_a_password_is_compared_once(home: SignedInWeb) -> None:
    with home.ask(ADMIN) as program:
        for _ in range(3):
            assert program.get("/workitems").status_code == 204
        assert program.get("/api/session").json()["role"] == "admin"
    assert home.count("sign_ins", outcome="accepted") == 1
    assert home.sessions == []


def test_who_guesses_is_slowed_down_and_the_owner_comes_in_from_elsewhere(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    trusted = {"trusted_proxies": ("127.0.0.1",)}
    https = {"X-Forwarded-Proto": "https"}
    with signed_in_web(redis_server, spool, tmp_path, **trusted) as home, home.ask(**https) as ask:
        stranger, owner = {"X-Forwarded-For": "192.0.2.66"}, {"X-Forwarded-For": "192.0.2.1"}
        for _ in range(5):
            assert ask.get("/api/session", auth=("ann", "guess"), headers=stranger).status_code == 401

        def guess() -> httpx.Response:
            return ask.get("/api/session", auth=("ann", "guess"), headers=stranger)

        slowed = wait_for(lambda: (answer := guess()).status_code == 429 and answer, "the guesses to be too many")
        assert ask.get("/api/session", auth=("ann", READER[1]), headers=stranger).status_code in (429, 200)
        assert int(slowed.headers["retry-after"]) >= 1
        assert ask.get("/api/session", auth=READER, headers=owner).status_code == 200
        wait_for(lambda: ask.get("/api/session", auth=READER, headers=stranger).status_code == 200, "the wait to end")
        assert home.count("sign_ins", outcome="refused") >= 5
        assert home.count("sign_ins", outcome="throttled") >= 1


def test_a_crowd_that_guesses_keeps_nobody_else_out(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    done = threading.Event()

    def guess(home: SignedInWeb, number: int) -> None:
        address = f"192.0.2.{number % 6}"
        with home.ask(**{"X-Forwarded-Proto": "https", "X-Forwarded-For": address}) as ask:
            while not done.is_set():
                ask.get("/api/session", auth=(f"unknown-{number}", f"guess {time.monotonic()}"))

    with signed_in_web(redis_server, spool, tmp_path, trusted_proxies=("127.0.0.1",)) as home:
        crowd = [threading.Thread(target=guess, args=(home, number)) for number in range(24)]
        for each in crowd:
            each.start()
        try:
            wait_for(lambda: home.count("sign_ins", outcome="refused") >= 3, "the crowd")
            with home.ask(**{"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1"}) as ask:
                assert ask.get("/api/session", auth=READER).status_code == 200
        finally:
            done.set()
            for each in crowd:
                each.join()


def test_over_plain_http_from_elsewhere_no_password_is_taken(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    plain = {"X-Forwarded-Proto": "http"}
    with signed_in_web(redis_server, spool, tmp_path, trusted_proxies=("127.0.0.1",)) as home, home.ask(**plain) as ask:
        answer = ask.post("/sign-in", data={"name": READER[0], "password": READER[1]})
        assert (answer.status_code, "by https" in answer.text) == (403, True)
        assert ask.get("/api/session", auth=READER).status_code == 403
    with signed_in_web(redis_server, spool, tmp_path, trusted_proxies=("127.0.0.1",), plain_http=True) as home:
        cookie = home.cookie()
        assert cookie.startswith("triage=")
        with home.ask(Cookie=cookie) as ask:
            assert ask.get("/api/session").status_code == 200


def test_a_password_kept_with_less_is_kept_with_today_s_parameters_and_ends_no_session(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "COST", COST)
    with signed_in_web(redis_server, spool, tmp_path, users_file=write_users(tmp_path, ScryptCost(10, 8, 1))) as home:
        cookie = home.cookie()
        account = FileUsers(tmp_path / "users.json").find("ann")
        assert account is not None
        assert PasswordHash.parse(account.password).cost == COST
        with home.ask(Cookie=cookie) as ask, home.ask(READER) as program:
            assert (ask.get("/api/session").status_code, program.get("/api/session").status_code) == (200, 200)


def test_a_damaged_file_of_users_lets_nobody_in_and_says_so_in_the_log(
    home: SignedInWeb, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = home.cookie()
    (home.folder / "users.json").write_text("{}")
    with home.ask(Cookie=cookie) as ask:
        assert ask.get("/api/session").status_code == 503
        assert ask.get("/readyz").status_code == 200
    assert "is no file of users" in caplog.text


PROXY = {"method": "proxy", "user_header": "X-Remote-User"}


def test_a_proxy_s_header_is_believed_from_the_proxy(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    given = {**PROXY, "trusted_proxies": ("127.0.0.0/8",), "admins": ("carol",), "sign_out_address": "/oauth2/sign_out"}
    with signed_in_web(redis_server, spool, tmp_path, **given) as home, home.ask() as ask:
        reader = ask.get("/api/session", headers={"X-Remote-User": "Dörte".encode()})
        assert reader.json() == {"user": "Dörte", "role": "reader", "local": False, "sign_out": "/oauth2/sign_out"}
        assert ask.get("/api/session", headers={"X-Remote-User": "carol"}).json()["role"] == "admin"
        assert ask.post("/api/requeue", json={"key": "1"}, headers={"X-Remote-User": "d"}).status_code == 403
        for wrong in ("", "local", "x" * 65, "a\tb"):
            assert ask.get("/api/session", headers={"X-Remote-User": wrong}).status_code == 401, wrong
        assert ask.get("/api/session").status_code == 401
        twice = [("X-Remote-User", "carol"), ("X-Remote-User", "dave")]
        assert ask.get("/api/session", headers=twice).status_code == 401
        assert ask.get("/sign-in").status_code == 404
        assert ask.get("/api/session", auth=READER).status_code == 401  # there are no users of our own


def test_a_proxy_s_header_from_anybody_else_is_refused(
    redis_server: RedisServer, spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {**PROXY, "trusted_proxies": ("192.0.2.1", "2001:db8::/32"), "admins": ("carol",)}
    with signed_in_web(redis_server, spool, tmp_path, **given) as home, home.ask() as ask:
        claimed = {"X-Remote-User": "carol"}
        assert ask.get("/api/session", headers=claimed).status_code == 403
        forwarded = {**claimed, "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        assert ask.get("/api/session", headers=forwarded).status_code == 403
        assert ask.get("/api/session").status_code == 401
        assert ask.get("/healthz").status_code == 200
        assert home.count("sign_ins", outcome="untrusted") == 2
    assert "carol" not in caplog.text


def test_the_proxy_s_roles_decide(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    roles = {"role_header": "Remote-Groups", "reader_roles": ("radiology",), "admin_roles": ("pacs-admins",)}
    given = {**PROXY, "trusted_proxies": ("127.0.0.1",), **roles}
    with signed_in_web(redis_server, spool, tmp_path, **given) as home, home.ask(X_Remote_User="carol") as ask:

        def asked(groups: str) -> httpx.Response:
            return ask.get("/api/session", headers={"Remote-Groups": groups})

        assert asked("staff, radiology").json()["role"] == "reader"
        assert asked("radiology,pacs-admins").json()["role"] == "admin"
        assert asked("staff").status_code == 403
        assert ask.get("/api/session").status_code == 403


def test_off_loopback_with_sign_in_it_starts_and_the_names_of_the_proxy_are_ours(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    from triage.web.app import known_hosts

    assert known_hosts("127.0.0.1", ["Triage.Hospital.example"]) >= {"triage.hospital.example", "localhost"}
    assert known_hosts("0.0.0.0", ["a.example"]) >= {"a.example", "127.0.0.1", "0.0.0.0"}
    assert known_hosts("0.0.0.0") == frozenset()


def test_the_command_refuses_to_serve_others_without_sign_in_and_says_what_to_set(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with roles(tmp_path, redis_server.url, tmp_path, web_host="0.0.0.0", web_port="0") as running:
        refused = running.start("web")
        assert refused.wait() == EXIT_CANNOT_START
        assert refused.said("set sign_in.method")


def test_the_command_serves_with_sign_in_and_notes_its_start_and_end(redis_server: RedisServer, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    audit = tmp_path / "audit" / "audit.xml"
    settings = {"sign_in_method": "users", "sign_in_users_file": str(write_users(tmp_path)), "audit_path": str(audit)}
    with roles(tmp_path, redis_server.url, tmp_path, web_port=port, **settings) as running:
        served = running.start("web")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as ask:

            def ready() -> bool:
                try:
                    return ask.get("/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            wait_for(ready, "the web process")
            assert ask.get("/api/worklist").status_code == 401
            assert ask.get("/api/worklist", auth=READER).status_code == 200
        assert served.terminate() == 0
    told = [(schema.event(each)[0], schema.kind(each)) for each in schema.messages(audit)]
    assert told == [("110100", "110120"), ("110114", "110122"), ("110100", "110121")]
