"""The store in PostgreSQL and a real S3 store: its contract, a move into it, and the service on it.

Run by tests/acceptance/cluster.sh alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import models
from tests.spool.conftest import postgres_server
from tests.spool.test_moving import all_differences, source
from tests.spool.test_store_contract import (
    TestEntries,
    TestLocks,
    TestReceiving,
    TestResults,
    TestStudies,
    TestSwitches,
    receive,
    store,
    tag,
)
from tests.support.audit_schema import checked, event
from tests.support.builders import an_instance
from tests.support.dicom_senders import storescu
from tests.support.load_behind_haproxy import Sender, balancer, telling, told
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import store_scp
from tests.support.redis_server import RedisServer
from tests.support.seaweed import SeaweedServer
from tests.support.service import a_chest
from tests.support.shared_service import SharedService
from tests.support.tcp_proxy import checks, running
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE, Service, fetch
from triage.security.audit_file import AuditFile
from triage.security.audit_rows import AuditRows
from triage.security.database_users import DatabaseUsers
from triage.security.file_users import FileUsers
from triage.security.roles import Role
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.moving.backdating import backdating
from triage.spool.moving.move import move
from triage.spool.moving.study import MoveTarget
from triage.spool.open_store import open_store, shared_database
from triage.spool.spool import Spool
from triage.spool.store import Store

__all__ = [
    "TestEntries",
    "TestLocks",
    "TestReceiving",
    "TestResults",
    "TestStudies",
    "TestSwitches",
    "models",
    "postgres_server",
    "source",
    "store",
]
"""The contract, with the store below, and the fixtures of other files."""


@pytest.fixture
def address(postgres_server: PostgresServer, seaweed: SeaweedServer, tmp_path: Path) -> ClusterAddress:
    """A store of a tenant of its own."""
    database, tenant = postgres_server.address("postgres"), f"tenant-{uuid4().hex[:12]}"
    return ClusterAddress(database, seaweed.address, tmp_path / "scratch", tenant, lease_s=2.0)


@pytest.fixture
def opened(address: ClusterAddress) -> Iterator[Callable[[], Store]]:
    made: list[ClusterStore] = []

    def opened_anew() -> Store:
        found = open_store(address)
        assert isinstance(found, ClusterStore)
        made.append(found)
        return found

    yield opened_anew
    for each in made:
        each.close()


class TestMove:
    def test_a_spool_moves_into_it(
        self, source: Spool, opened: Callable[[], Store], address: ClusterAddress, tmp_path: Path
    ):
        os.utime(source.filed_path(next(iter(source.objects_of("1.2.3")))), (1_700_000_000, 1_700_000_000))
        for path in source.inbox.iterdir():
            os.utime(path, (1_700_000_000, 1_700_000_000))
        target = opened()
        move(source, MoveTarget(target, backdating(address)), lambda counts: None)
        assert all_differences(source, target) == []
        assert target.oldest_waiting() == 1_700_000_000
        assert target.decided_at("1.2.3") == pytest.approx(source.decided_at("1.2.3"), abs=1e-3)
        move(source, MoveTarget(target, backdating(address)), lambda counts: None)
        assert all_differences(source, target) == []

    def test_an_object_that_the_bucket_lost_is_found(
        self, source: Spool, opened: Callable[[], Store], address: ClusterAddress
    ):
        target = opened()
        move(source, MoveTarget(target, backdating(address)), lambda counts: None)
        bucket = S3Bucket(address.bucket)
        keys = sorted(bucket.keys(f"{address.tenant}/"))
        assert len(keys) == 4
        bucket.delete(keys[0])
        with pytest.raises(FileNotFoundError):
            all_differences(source, target)


def sent(service: Service, folder: Path, *numbers: int) -> dict[int, str]:
    """Send phantoms by DCMTK; the Study Instance UIDs by number."""
    from io import BytesIO

    from pydicom import dcmread

    studies = {}
    for number in numbers:
        file = folder / f"{number}.dcm"
        file.write_bytes(a_chest(number))
        studies[number] = str(dcmread(BytesIO(a_chest(number))).StudyInstanceUID)
        said = storescu(service.dicom_port, file)
        assert "Success" in said, said
    return studies


@pytest.fixture
def service(tmp_path: Path, models: Path, address: ClusterAddress) -> Iterator[SharedService]:
    with SharedService(tmp_path / "var", models, address) as running:
        try:
            yield running
        except AssertionError as error:
            error.add_note(running.log()[-5000:])
            raise


class TestService:
    def test_it_receives_tags_lists_and_goes_on_after_a_restart(self, service: SharedService, tmp_path: Path):
        studies = sent(service, tmp_path, 1, 2, 3)
        listed = service.tagged(*studies.values())
        assert {each["tag"] for each in listed.values()} <= {"ABNORMAL", "NORMAL", "NOT_ASSESSED"}
        assert not (tmp_path / "var" / "spool").exists()
        assert list((tmp_path / "scratch").iterdir()) == []
        uid = studies[1]
        explained = service.run("explain", uid)
        assert explained.returncode == 0, explained.stderr
        assert f"radiographs/{service.address.tenant}/" in explained.stdout
        status, study = service.get(f"/api/studies/{uid}")
        assert status == 200, study
        assert service.run("check").returncode in (0, 1)

        service.stop()
        service.start()
        assert service.tagged(*studies.values()) == listed
        more = sent(service, tmp_path, 4)
        service.tagged(*more.values())

    def test_the_list_needs_no_redis(self, service: SharedService, tmp_path: Path):
        """Emptied and stopped, Redis takes nothing off the list: pages, a search by patient, and an act of a reader."""
        import redis

        studies = sent(service, tmp_path, 1, 2, 3)
        before = service.tagged(*studies.values())
        redis.Redis.from_url(service.redis_url).flushdb()
        assert service.worklist() == before
        swept = service.run("sweep", "--once")
        assert "no index to check or rebuild" in swept.stdout, swept.stdout + swept.stderr

        def asked(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            return posted(service.web_port, path, body)

        status, page = asked("/api/list", {"show": "unread", "sort": {"column": "patient_name", "descending": True}})
        assert status == 200 and page["complete"] and page["matching"] == 3, page
        name = page["entries"][0]["patient_name"]
        assert name
        status, found = asked("/api/search", {"patient": name.replace("^", " ").lower()})
        assert status == 200 and {each["study_instance_uid"] for each in found["entries"]} <= set(studies.values())
        assert found["entries"]
        with streamed(service.web_port) as events:
            first = next(events)
            assert first["listed"] == 3, first
            uid = studies[1]
            status, act = asked(f"/api/studies/{uid}/reading", {"read": True, "revision": "", "press": "a" * 32})
            assert status == 200, act
            assert next(each for each in events if each["listed"] == 2)
        assert uid not in service.worklist()
        status, read = service.get("/api/read")
        assert [each["study_instance_uid"] for each in read["entries"]] == [uid]
        listed = service.run("worklist", "--json").stdout.splitlines()
        assert {json.loads(line)["study_instance_uid"] for line in listed} == set(studies.values()) - {uid}

    def test_check_names_both_engines(self, service: SharedService):
        said = service.run("check").stdout
        lines = [line for line in said.splitlines() if "database" in line or "bucket" in line or "scratch" in line]
        assert len(lines) >= 3, said
        assert "a wrong checksum is refused" in said

    def test_the_canary_goes_the_whole_way(self, service: SharedService):
        ended = service.run("canary")
        assert ended.returncode == 0, ended.stdout + ended.stderr

    @pytest.mark.parametrize("engine", ["PostgreSQL", "SeaweedFS"])
    def test_an_engine_that_ends_is_told_to_the_sender_and_nothing_is_lost(
        self,
        service: SharedService,
        postgres_server: PostgresServer,
        seaweed: SeaweedServer,
        engine: str,
        tmp_path: Path,
    ):
        before = sent(service, tmp_path, 1)
        service.tagged(*before.values())
        server = postgres_server if engine == "PostgreSQL" else seaweed
        server.stop(signal.SIGQUIT if engine == "PostgreSQL" else signal.SIGKILL)
        file = tmp_path / "refused.dcm"
        file.write_bytes(a_chest(2))
        said = storescu(service.dicom_port, file)
        assert "Success" not in said, said
        server.start()
        after = wait_for(lambda: _sent_again(service, tmp_path), "the listener to take objects again", 120.0)
        assert set(service.tagged(*before.values(), *after.values())) == {*before.values(), *after.values()}


def posted(port: int, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and JSON of a POST of the page."""
    headers = {"Content-Type": "application/json", "X-Triage-Page": "1", "Sec-Fetch-Site": "same-origin"}
    request = Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def streamed(port: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The states of the list that a page is told, as they come."""
    with urlopen(f"http://127.0.0.1:{port}/api/changes", timeout=60) as response:
        lines = (line.decode().strip() for line in response)
        yield (found for line in lines if "listed" in (found := _data(line)))


def _data(line: str) -> dict[str, Any]:
    found = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
    return found if isinstance(found, dict) else {}


def _sent_again(service: Service, folder: Path) -> dict[int, str]:
    try:
        return sent(service, folder, 2)
    except AssertionError:
        return {}


class TestTwoHosts:
    """Two sets of processes on one store and one Redis, as on two hosts: this machine's clock and disk are one."""

    def test_what_one_receives_the_other_lists_and_one_goes_on_alone(
        self, tmp_path: Path, models: Path, address: ClusterAddress, redis_server: RedisServer
    ):
        with SharedService(tmp_path / "var", models, address, redis_url=redis_server.url) as first:
            (tmp_path / "second").mkdir()
            second = SharedService(tmp_path / "second" / "var", models, address, redis_url=redis_server.url)
            with started(second, "listen"), started(second, "work"):
                wait_for(lambda: fetch(second.listener_ports[0], "/readyz")[0] == 200, "the second listener")
                wait_for(lambda: fetch(second.worker_port, "/readyz")[0] == 200, "the second worker", 120.0)
                studies = sent(first, tmp_path, 1, 2) | sent(second, tmp_path, 3, 4)
                first.tagged(*studies.values())
                first.stop()
                alone = sent(second, tmp_path, 5)
                wait_for(lambda: second.spool.decision(alone[5]), "the second host to tag a study", 120.0)
                listed = second.run("worklist", "--json").stdout
                assert {*studies.values(), *alone.values()} <= {
                    json.loads(line)["study_instance_uid"] for line in listed.splitlines()
                }
            if second._store is not None:
                second._store.close()

    @pytest.mark.timeout(2400)  # it waits for states; a busy machine takes its time
    def test_hosts_are_restarted_and_one_is_killed_while_studies_come(
        self, tmp_path: Path, models: Path, address: ClusterAddress, redis_server: RedisServer
    ):
        """Restarts refuse nothing. What a killed host had acknowledged is tagged and delivered by the other one."""
        with ExitStack() as stack:
            pacs = stack.enter_context(store_scp())
            pair = [stack.enter_context(each) for each in two_hosts(tmp_path, models, address, redis_server, pacs.port)]
            port = free_port()
            stack.enter_context(running(tmp_path, balancer(pair, port)))
            senders = [Sender(port, tmp_path, first=10_000 * (number + 1)) for number in range(2)]
            with ExitStack() as sending:
                for each in senders:
                    sending.enter_context(each.sending())
                for host in [*pair, pair[0]]:
                    both_are_asked(tmp_path)
                    senders[0].send_some()
                    assert host.stop() == 0
                    senders[1].send_some()
                    host.start()
                both_are_asked(tmp_path)
                assert [said for each in senders for said in each.answers.values() if "Success" not in said] == []
                kill_host(pair[1])
                senders[0].send_some()
            acknowledged = {uid for each in senders for uid, said in each.answers.items() if "Success" in said}
            assert len(acknowledged) > 20
            for uid in acknowledged:
                wait_for(lambda uid=uid: pair[0].spool.decision(uid), f"{uid} to be decided", 300.0)
            wait_for(lambda: acknowledged <= told(pacs.received), "all to be delivered", 300.0)


def two_hosts(
    folder: Path, models: Path, address: ClusterAddress, redis: RedisServer, pacs: int
) -> Iterator[SharedService]:
    for name in ("a", "b"):
        (folder / name).mkdir()
        of_host = replace(address, scratch=folder / name / "scratch", lease_s=8.0)
        yield SharedService(folder / name / "var", models, of_host, **telling(redis.url, pacs))


def both_are_asked(folder: Path) -> None:
    wait_for(lambda: set(checks(folder)) == {"L7OK"}, "both listeners to be seen by HAProxy", 120.0)


def kill_host(service: SharedService) -> None:
    """End all processes of a host at once, as a power failure does."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    for pid in [service.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)


class TestTwoWebs:
    """Two web processes behind HAProxy, which gives each request to the other one: no browser is held at one."""

    def test_a_session_an_act_a_guess_and_the_trail_are_of_both(
        self, tmp_path: Path, models: Path, address: ClusterAddress, redis_server: RedisServer
    ):
        given = {
            "redis_url": redis_server.url,
            "sign_in_method": "users",
            "sign_in_trusted_proxies": "127.0.0.0/8",
            "web_idle_lock_minutes": 30,
        }
        (tmp_path / "second").mkdir()
        second = SharedService(tmp_path / "second" / "var", models, address, **given)
        added = second.run("user", "add", "ann", "--role", "reader", typed=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
        with SharedService(tmp_path / "var", models, address, **given) as first, started(second, "web"):
            wait_for(lambda: fetch(second.web_port, "/readyz")[0] == 200, "the second web process")
            (uid,) = sent(first, tmp_path, 1).values()
            wait_for(lambda: first.spool.decision(uid), "the study to be tagged", 120.0)
            with in_turns(tmp_path, first.web_port, second.web_port) as page:
                form = {"name": "ann", "password": PASSWORD, "next": "/"}
                entered = page.post("/sign-in", data=form)
                assert entered.status_code == 303, entered.text
                page.headers["Cookie"] = entered.headers["set-cookie"].partition(";")[0]
                for path in ("/api/session", f"/api/studies/{uid}", "/api/worklist"):
                    assert [page.get(path).status_code for _ in range(6)] == [200] * 6, path
                read = page.post(f"/api/studies/{uid}/reading", json={"read": True})
                assert read.status_code == 200, read.text
                assert page.post("/api/session/lock", json={}).status_code == 200
                assert [page.get("/api/session").status_code for _ in range(4)] == [401] * 4
                again = page.post("/sign-in", data=form)
                page.headers["Cookie"] = again.headers["set-cookie"].partition(";")[0]
                assert [page.get("/api/session").status_code for _ in range(4)] == [200] * 4
                guessed = [guess(page, n) for n in range(5)]
                assert guessed == [401] * 5
                wait_for(lambda: guess(page, 5) == 429, "guesses at both to be too many", 120.0)
                removed = second.run("user", "remove", "ann")
                assert removed.returncode == 0, removed.stderr
                assert [page.get("/api/session").status_code for _ in range(4)] == [401] * 4
            exported = second.run("audit", "export")
            one_study = first.run("audit", "export", "--study", uid)
        assert exported.returncode == one_study.returncode == 0, exported.stderr
        messages = [checked(line) for line in exported.stdout.splitlines()]
        times = [each.find("EventIdentification").get("EventDateTime") for each in messages]
        assert times == sorted(times)
        assert [event(each) for each in messages].count(("110100", "E", "0")) == 2  # both begin
        views = [line for line in one_study.stdout.splitlines() if event(checked(line)) == ("110103", "R", "0")]
        assert len(views) == 2  # of each process, as each writes an opening once
        assert 'csd-code="READING"' in one_study.stdout


def guess(page: httpx.Client, number: int) -> int:
    """The answer to a wrong password."""
    return page.post("/sign-in", data={"name": "ann", "password": f"guess {number}", "next": "/"}).status_code


PASSWORD = "twelve little radiologists"


@contextmanager
def in_turns(folder: Path, *ports: int) -> Iterator[httpx.Client]:
    """Requests by way of HAProxy, each to the next port."""
    servers = "".join(f"  server s{port} 127.0.0.1:{port}\n" for port in ports)
    port = free_port()
    proxy = (
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 120s\n  timeout server 120s\n"
        f"listen web\n  bind 127.0.0.1:{port}\n  balance roundrobin\n  option forwardfor\n"
        f"  http-request set-header X-Forwarded-Proto https\n{servers}"
    )
    with (
        running(folder, proxy),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as page,
    ):
        yield page


@contextmanager
def started(service: SharedService, *words: str) -> Iterator[None]:
    """One process of a service, ended by its ID."""
    with (service.log_file.with_name(f"{words[0]}.log")).open("wb") as log:
        command = [TRIAGE, *service._options, *words]
        process = subprocess.Popen(command, env=service.environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


class TestMigrate:
    def test_a_running_site_moves(self, tmp_path: Path, models: Path, address: ClusterAddress):
        """Copied while it works on files, finished when it rests, and started on the other store with the same list."""
        with Service(tmp_path / "var", models) as files:
            studies = sent(files, tmp_path, 1, 2)
            listed = files.tagged(*studies.values())
            shared = SharedService(tmp_path / "var", models, address)
            first = shared.run("store", "migrate", "--from", str(tmp_path / "var" / "spool"))
            assert first.returncode == 0, first.stderr
            studies |= sent(files, tmp_path, 3)
            listed = files.tagged(*studies.values())
            users = FileUsers(tmp_path / "var" / "users.json")
            users.add("ann", Role.READER, PASSWORD)
            AuditFile(tmp_path / "var" / "audit" / "audit.xml", 1 << 20).append("<AuditMessage/>")
            refused = shared.run("store", "migrate", "--from", str(tmp_path / "var" / "spool"), "--finish")
            assert refused.returncode == 1, refused.stdout
        finished = shared.run("store", "migrate", "--from", str(tmp_path / "var" / "spool"), "--finish")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "with the same bytes" in finished.stdout
        assert shared.run("user", "list").stdout == "reader  ann\n"
        assert shared.run("audit", "export").stdout == "<AuditMessage/>\n"
        with shared:
            assert json.loads(json.dumps(shared.tagged(*studies.values()))) == listed
            assert set(sent(shared, tmp_path, 4)) == {4}

    def test_a_shared_site_moves_back_to_files(self, tmp_path: Path, models: Path, address: ClusterAddress):
        """The same the other way round: what was tagged on the shared store is listed from files."""
        words = ("store", "migrate", "--from-settings", str(tmp_path / "triage.toml"))
        with SharedService(tmp_path / "var", models, address) as shared:
            studies = sent(shared, tmp_path, 1, 2)
            listed = shared.tagged(*studies.values())
            database = shared_database(address)
            users = DatabaseUsers(database)
            users.add("ann", Role.READER, PASSWORD)
            for host in ("a", "b"):
                AuditRows(database, host, "triage web").append(f"<AuditMessage>{host}</AuditMessage>")
            files = Service(tmp_path / "files" / "var", models, config=_files_config(tmp_path / "files"))
            first = command_of(files, *words)
            assert first.returncode == 0, first.stderr
            refused = command_of(files, *words, "--finish")
            assert refused.returncode == 1, refused.stdout
        finished = command_of(files, *words, "--finish")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "with the same bytes" in finished.stdout
        assert "2  lines of the audit trail, 2 of them new, none missing" in finished.stdout
        assert "1  users, 1 of them new" in finished.stdout
        assert FileUsers(tmp_path / "files" / "var" / "users.json").all() == users.all()
        trail = (tmp_path / "files" / "var" / "audit" / "audit.xml").read_text()
        assert trail == "<AuditMessage>a</AuditMessage>\n<AuditMessage>b</AuditMessage>\n"
        again = command_of(files, *words, "--finish")
        assert again.returncode == 1 and "a move that ended with --finish" in again.stderr
        with files:
            assert files.tagged(*studies.values()) == listed


def _files_config(folder: Path) -> Path:
    folder.mkdir()
    config = folder / "files.toml"
    config.write_text(f'[data]\npath = "{folder}/var"\n')
    return config


def command_of(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """A command with a service's settings."""
    command = [TRIAGE, *service._options, *words]
    return subprocess.run(command, env=service.environment, capture_output=True, text=True, timeout=240)


def test_a_store_without_its_database_says_so(address: ClusterAddress, tmp_path: Path, models: Path) -> None:
    wrong = replace(address, database=replace(address.database, port=1))
    (tmp_path / "a").mkdir()
    service = SharedService(tmp_path / "a" / "var", models, wrong)
    ended = service.run("listen")
    assert ended.returncode == 78, ended.stdout + ended.stderr
    assert fetch(service.web_port, "/")[0] == 0


def test_two_tenants_of_one_bucket_see_nothing_of_each_other(address: ClusterAddress) -> None:
    one, other = open_store(address), open_store(replace(address, tenant="another"))
    instance = an_instance(study="1.2.3", sop="1.2.3.4")
    receive(one, instance)
    tag(one, instance)
    assert other.stored_object(instance) is None and list(other.study_uids()) == []
    for each in (one, other):
        assert isinstance(each, ClusterStore)
        each.close()
