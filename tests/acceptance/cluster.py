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
from uuid import uuid4

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
from tests.support.builders import an_instance
from tests.support.dicom_senders import storescu
from tests.support.load_behind_haproxy import Sender, balancer, telling, told
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import free_port, store_scp
from tests.support.redis_server import RedisServer
from tests.support.seaweed import SeaweedServer
from tests.support.service import a_chest
from tests.support.shared_service import SharedService
from tests.support.tcp_proxy import checks, running
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE, Service, fetch
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.moving.backdating import backdating
from triage.spool.moving.move import move
from triage.spool.moving.study import MoveTarget
from triage.spool.open_store import open_store
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
            refused = shared.run("store", "migrate", "--from", str(tmp_path / "var" / "spool"), "--finish")
            assert refused.returncode == 1, refused.stdout
        finished = shared.run("store", "migrate", "--from", str(tmp_path / "var" / "spool"), "--finish")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "with the same bytes" in finished.stdout
        with shared:
            assert json.loads(json.dumps(shared.tagged(*studies.values()))) == listed
            assert set(sent(shared, tmp_path, 4)) == {4}


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
