"""`triage check`: what it finds with real peers, and that it changes and posts nothing."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.certificates import Authority, authority, server_context
from tests.support.identity_provider import CLIENT, PAGE, IdentityProvider, identity_provider
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.redis_server import RedisServer
from triage.cli import triage
from triage.service.check import everything
from triage.service.check.certificates import check_certificates
from triage.service.check.destinations import check_destinations
from triage.service.check.finding import CheckResult, Level
from triage.service.check.machine import check_clock, check_disk, check_sizing
from triage.service.check.models import check_models
from triage.service.check.places import check_audit_trail, check_spool, check_users
from triage.service.check.redis_server import check_redis
from triage.service.check.sign_in import check_sign_in
from triage.service.check.silence import check_silence
from triage.settings.schema import Settings
from triage.spool.clock import ClockState
from triage.spool.file_system_usage import SpoolUsage
from triage.spool.layout import LayoutStep
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FAILED, WARNING, OK = Level.FAILED, Level.WARNING, Level.OK
WHOLE = {"issuer": "https://id.hospital.example", "client_id": CLIENT, "page_address": PAGE}


def settings(**sections: object) -> Settings:
    return Settings.model_validate(sections)


def only(findings: Iterator[CheckResult]) -> CheckResult:
    (finding,) = findings
    return finding


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def swallowing() -> Iterator[tuple[int, list[bytes]]]:
    """A port that takes one connection, with what was sent to it."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def take() -> None:
            with listening.accept()[0] as connection:
                got.extend(iter(lambda: connection.recv(4096), b""))

        thread = threading.Thread(target=take)
        thread.start()
        yield listening.getsockname()[1], got
        thread.join()


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is half full, however full that of the tests is."""
    monkeypatch.setattr(Spool, "usage", lambda self: SpoolUsage(1 << 40, 1 << 39, 1 << 20, 1 << 19))


@pytest.mark.usefixtures("roomy")
def test_everything_is_tried_and_nothing_is_posted_or_changed(tmp_path: Path, redis_server: RedisServer) -> None:
    write_model(tmp_path / "models")
    with store_scp() as pacs, mllp_listener(acknowledging("AA")) as ris, swallowing() as (port, posted):
        config = tmp_path / "triage.toml"
        config.write_text(
            f'[data]\npath = "var"\n[redis]\nurl = "{redis_server.url}"\n[models]\npath = "{tmp_path}/models"\n'
            "[listener]\nmax_associations = 10\n"
            f'[[channels.sr]]\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs.port}\ncalled_ae_title = "PACS"\n'
            f'[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {ris.port}\n'
            f'[[channels.webhook]]\nname = "hook"\nurl = "http://127.0.0.1:{port}/"\nsecret = "0123456789abcdef"\n'
        )
        ran = CliRunner().invoke(triage, ["--config", str(config), "check"])
    lines = ran.output.splitlines()
    assert ran.exit_code == 0, ran.output
    assert lines[0] == f"ok       settings: from {config}; data in {tmp_path}/var"
    for what in ("spool", "disk", "sizing", "redis", "destination pacs", "destination ris", "destination hook"):
        assert any(line.startswith(f"ok       {what}:") for line in lines), (what, ran.output)
    assert "ok       model tiny-adult: loads and runs" in lines
    assert lines[-1].startswith("0 failed")
    assert (pacs.received, ris.received, posted) == ([], [], [])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["models", "triage.toml"]


def test_what_failed_is_in_the_exit_status_and_keeps_nothing_else_from_being_tried(tmp_path: Path) -> None:
    config = tmp_path / "triage.toml"
    url = f'url = "redis://:hunter2@127.0.0.1:{free_port()}"'
    config.write_text(f'[spool]\npath = "/dev/null/spool"\n[models]\npath = "{tmp_path}"\n[redis]\n{url}\n')
    ran = CliRunner().invoke(triage, ["--config", str(config), "check"])
    assert ran.exit_code == 1
    assert "failed   spool: /dev/null is no folder" in ran.output
    assert "failed   redis: does not answer" in ran.output
    assert "failed   models: " in ran.output
    assert "hunter2" not in ran.output


def test_a_look_that_breaks_is_a_line_of_its_own() -> None:
    def look() -> Iterator[CheckResult]:
        raise ZeroDivisionError("a value")
        yield

    finding = only(everything._guarded("disk", look))
    assert finding.level is FAILED
    assert "ZeroDivisionError in test_check.py" in finding.finding
    assert "a value" not in finding.finding


def test_destinations_that_cannot_be_reached_or_take_nothing_of_ours(ca: Authority) -> None:
    server, stranger = server_context(ca.certificate("ris")), authority(ca.folder, "stranger")
    with ExitStack() as stack:
        pacs = stack.enter_context(store_scp(contexts=[]))
        tls = stack.enter_context(mllp_listener(acknowledging("AA"), tls=server))
        asks = stack.enter_context(
            mllp_listener(acknowledging("AA"), tls=server_context(ca.certificate("asks"), client_ca=stranger.path))
        )
        here = {"host": "127.0.0.1", "timeout_s": 5}
        shown = ca.certificate("ours")
        ours = {"tls": True, "tls_ca_file": ca.path, "tls_certificate": shown.path, "tls_key": shown.key}
        channels = {
            "sr": [{"name": "pacs", "port": pacs.port, "called_ae_title": "PACS", **here}],
            "hl7": [
                {"name": "closed", "port": free_port(), **here},
                {"name": "strange", "port": tls.port, "tls": True, "tls_ca_file": stranger.path, **here},
                {"name": "trusted", "port": tls.port, "tls": True, "tls_ca_file": ca.path, **here},
                {"name": "asks", "port": asks.port, **ours, **here},
                {"name": "off", "port": 1, "enabled": False, **here},
            ],
        }
        found = {each.subject: each for each in check_destinations(settings(channels=channels).channels)}
    names = ("pacs", "closed", "strange", "trusted", "asks", "off")
    pacs_, closed, strange, trusted, refused, off = (found[f"destination {name}"] for name in names)
    assert (pacs_.level, "takes no Comprehensive 3D SR Storage" in pacs_.finding) == (WARNING, True)
    assert (closed.level, "cannot connect" in closed.finding) == (FAILED, True)
    assert (strange.level, "no TLS with" in strange.finding) == (FAILED, True)
    assert trusted.level is OK
    assert (refused.level, "no TLS with" in refused.finding) == (FAILED, True)
    assert (off.level, "not enabled" in off.finding) == (OK, True)


def test_redis_is_tried_as_a_worker_would(redis_server: RedisServer, tmp_path: Path) -> None:
    def found(path: str = os.defpath, **section: object) -> CheckResult:
        return only(check_redis(settings(redis=section).redis, path))

    file = tmp_path / "password"
    file.write_text("secret\n")
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert (found(url=redis_server.url).level, "set it to noeviction" in found(url=redis_server.url).finding) == (
            WARNING,
            True,
        )
        client.config_set("maxmemory", "100mb")
        assert found(url=redis_server.url).level is FAILED
        client.config_set("maxmemory-policy", "noeviction")
        assert found(socket_path=redis_server.socket).finding.endswith("maxmemory-policy noeviction")
        client.config_set("requirepass", "secret")
        assert "set user and password in redis.url" in found(url=redis_server.url).finding
        assert found(url=redis_server.url, password_file=file).level is OK
    assert found(url=redis_server.url, password_file=tmp_path / "none").level is FAILED
    assert found(socket_path=tmp_path / "r.sock").finding.endswith(
        f"-server, started by triage up on {tmp_path}/r.sock"
    )
    assert found("/nowhere", socket_path=tmp_path / "r.sock").level is WARNING
    tmp_path.chmod(0o755)
    assert "can be entered by others" in found(socket_path=tmp_path / "r.sock").finding
    assert "too long for a Unix socket" in found(socket_path=tmp_path / ("r" * 100)).finding


def test_certificates_are_read_with_their_keys_and_their_end(ca: Authority) -> None:
    def found(now: float = time.time(), **more: object) -> list[Level]:
        mine = ca.certificate("listener")
        listener = {"tls_port": 1, "tls_certificate": mine.path, "tls_key": mine.key, **more}
        return [each.level for each in check_certificates(settings(listener=listener), now)]

    day = 86400.0
    assert found() == [WARNING]  # the tests' hold for two days
    assert found(time.time() - 30 * day) == [OK]
    assert found(time.time() + 3 * day) == [FAILED]
    assert found(tls_key=ca.certificate("other").key) == [FAILED]
    assert found(tls_client_ca=ca.path, tls_client_crl=ca.revocation_list()) == [WARNING, OK]
    assert found(tls_client_ca=ca.path, tls_client_crl=ca.revocation_list(expired=True)) == [WARNING, FAILED]
    client = {"tls_certificate": ca.folder / "gone.pem", "tls_key": ca.folder / "gone.key"}
    assert only(check_certificates(settings(client=client), 0.0)).level is FAILED


def test_a_spool_that_could_not_be_opened_or_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(root: Path) -> tuple[Level, str]:
        first = next(check_spool(root))
        return first.level, first.finding

    assert found(tmp_path / "new/spool") == (OK, f"{tmp_path}/new/spool: will be made in {tmp_path}")
    root = Spool.open(tmp_path / "spool").root
    assert found(root) == (OK, f"{root}: writable")
    before = sorted(root.rglob("*"))
    root.chmod(0o755)
    assert "chmod 0700" in found(root)[1]
    root.chmod(0o700)
    (root / "VERSION").write_text("99\n")
    assert "has version 99" in found(root)[1]
    (root / "VERSION").write_text("1\n")
    assert "neither empty nor a spool" in found(tmp_path)[1]
    assert found(Path("/proc/spool"))[0] is FAILED
    heavy = LayoutStep(2, "all is moved", lambda root: None, harmless=False)
    monkeypatch.setattr("triage.service.check.places.pending", lambda root: [heavy])
    assert "triage backup, migrate" in found(root)[1]
    monkeypatch.undo()
    monkeypatch.setattr("triage.service.check.places.os.geteuid", lambda: 54321)
    assert found(root)[0] is WARNING
    assert "this is user 54321" in found(root)[1]
    assert sorted(root.rglob("*")) == before


def test_users_and_audit_trail_where_people_sign_in(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    sign_in = settings(sign_in={"method": "users", "users_file": path}, web={"host": "127.0.0.1"}).sign_in
    assert [each.level for each in check_users(sign_in)] == [OK, WARNING]
    path.write_text("{}")
    path.chmod(0o644)
    assert "can be read by others" in only(check_users(sign_in)).finding
    audit = settings(audit={"path": "/proc/audit/audit.xml"}).audit
    assert [only(check_audit_trail(audit, signed_in)).level for signed_in in (True, False)] == [FAILED, OK]


def test_clock_disk_and_sizing(spool: Spool) -> None:
    assert [only(check_clock(spool.root, lambda status=status: status)).level for status in (0, 5, None)] == [
        OK,
        WARNING,
        OK,
    ]
    state = ClockState(time.time() + 7200, 1.0, "another boot")
    (spool.root / "control/clock.json").write_text(json.dumps(asdict(state)))
    assert "triage clock --trust" in next(iter(check_clock(spool.root, lambda: 0))).finding

    assert only(check_disk(settings(spool={"path": spool.root / "new", "high_water": 0.000001}).spool)).level is FAILED
    assert only(check_disk(settings(spool={"path": spool.root, "min_free_bytes": 1 << 62}).spool)).level is FAILED

    ours = settings(worker={"processes": 1, "decode_processes": 2}, listener={"max_associations": 1})
    levels = [only(check_sizing(ours, memory)).level for memory in (512 << 20, 1 << 30, 16 << 30)]
    assert levels == [FAILED, WARNING, OK]
    of_a_container = only(check_sizing(ours, 512 << 20, machine=16 << 30))
    assert (of_a_container.level, "limits of their own" in of_a_container.finding) == (WARNING, True)


def test_silence_is_said_where_it_is_set() -> None:
    assert [each.level for each in check_silence(settings(decision={"silent": True}).decision)] == [WARNING]
    assert not list(check_silence(settings().decision))


def test_models_that_do_not_load_and_models_that_are_switched_off(tmp_path: Path, spool: Spool) -> None:
    ours = settings(spool={"path": spool.root}, models={"path": tmp_path / "models"})
    write_model(tmp_path / "models")
    assert {each.level for each in check_models(ours)} == {OK}
    assert "not served: ages 0 to below 18, PA: no model, NOT_ASSESSED" in {each.finding for each in check_models(ours)}
    spool.model_switches.set_disabled("tiny-adult", True)
    assert next(iter(check_models(ours))).level is WARNING
    (tmp_path / "models/tiny-adult/model.onnx").write_bytes(b"x")
    assert "tiny-adult" in only(check_models(ours)).finding
    assert only(check_models(ours)).level is FAILED
    assert only(check_models(settings(models={"path": tmp_path / "none"}))).level is not OK


def at_a_provider(folder: Path, provider: IdentityProvider, **oidc: object) -> Settings:
    where = {"issuer": provider.issuer, "client_id": CLIENT, "page_address": PAGE, "timeout_s": 5}
    users = {"method": "oidc", "users_file": folder / "users.json"}
    return settings(web={"names": ["triage.hospital.example"]}, sign_in=users, oidc={**where, **oidc})


def test_an_identity_provider_is_asked_and_signs_nobody_in(tmp_path: Path) -> None:
    with identity_provider() as provider:
        found = only(check_sign_in(at_a_provider(tmp_path, provider)))
        assert (found.level, provider.issuer.removeprefix("http://") in found.finding) == (OK, True)
        assert (provider.codes, provider.redeemed) == ({}, [])
        provider.document["issuer"] = "https://another.example"
        other = only(check_sign_in(at_a_provider(tmp_path, provider)))
        assert (other.level, "of another issuer" in other.finding) == (FAILED, True)
        unread = only(check_sign_in(at_a_provider(tmp_path, provider, client_secret_file=tmp_path / "none")))
        assert (unread.level, "oidc.client_secret_file" in unread.finding) == (FAILED, True)
    gone = only(check_sign_in(at_a_provider(tmp_path, provider)))
    assert (gone.level, "did not answer" in gone.finding) == (FAILED, True)


def test_what_would_keep_the_page_from_starting_is_found_before_it_is_started(tmp_path: Path) -> None:
    assert only(check_sign_in(settings())).level is OK
    open_to_all = only(check_sign_in(settings(web={"host": "0.0.0.0"})))
    assert (open_to_all.level, "sign-in is off" in open_to_all.finding) == (FAILED, True)
    unread = settings(web={"host": "0.0.0.0"}, sign_in={"method": "users", "users_file": tmp_path / "users.json"})
    assert "sign_in.trusted_proxies" in only(check_sign_in(unread)).finding
    assert "web.idle_lock_minutes" in only(check_sign_in(settings(web={"idle_lock_minutes": 5}))).finding
    assert not list(tmp_path.iterdir())


def test_sessions_and_local_users_of_an_identity_provider_have_a_folder(tmp_path: Path) -> None:
    sign_in = settings(sign_in={"method": "oidc", "users_file": tmp_path / "users.json"}, oidc=WHOLE).sign_in
    assert [each.subject for each in check_users(sign_in)] == ["sessions"]
    assert [each.level for each in check_users(sign_in, with_provider=True)] == [OK, WARNING]
