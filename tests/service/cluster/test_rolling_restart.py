"""Two hosts behind HAProxy, restarted one after the other while DCMTK sends: nothing is refused, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.hosts import Hosts
from tests.support.load_behind_haproxy import Sender, balancer, telling, told
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.shared_service import SharedService
from tests.support.tcp_proxy import checks, running
from tests.support.wait import wait_for
from triage.errors import EXIT_CANNOT_START


@pytest.fixture
def pair(hosts: Hosts, tmp_path: Path) -> Iterator[tuple[list[SharedService], list[bytes]]]:
    """Two hosts that deliver to one PACS, and what it got."""
    write_model(tmp_path / "models", "tiny-adult", bias=-10)
    with ExitStack() as stack:
        pacs = stack.enter_context(store_scp())
        services = []
        for number in range(2):
            folder = tmp_path / f"up-{number}"
            folder.mkdir()
            service = SharedService(
                folder / "var", tmp_path / "models", hosts.address(folder), **telling(hosts.redis_url, pacs.port)
            )
            services.append(stack.enter_context(service))
        try:
            yield services, pacs.received
        except AssertionError as error:
            for each in services:
                error.add_note(each.log()[-4000:])
            raise


@pytest.mark.timeout(1200)  # it waits for states; a busy machine takes its time
def test_each_host_is_restarted_while_studies_come(
    pair: tuple[list[SharedService], list[bytes]], tmp_path: Path
) -> None:
    services, delivered = pair
    port = free_port()
    with running(tmp_path, balancer(services, port)):
        wait_for(lambda: set(checks(tmp_path)) == {"L7OK"}, "both listeners to be seen by HAProxy")
        sender = Sender(port, tmp_path)
        with sender.sending():
            for each in services:
                sender.send_some()
                assert each.stop() == 0
                sender.send_some()
                each.start()
                wait_for(lambda: set(checks(tmp_path)) == {"L7OK"}, "both listeners to be seen by HAProxy")
            sender.send_some()
    refused = {uid: said for uid, said in sender.answers.items() if "Success" not in said}
    assert not refused
    store = services[0].spool
    for uid in sender.answers:
        wait_for(lambda uid=uid: store.decision(uid), f"{uid} to be decided", 180.0)
    wait_for(lambda: told(delivered) == set(sender.answers), "all to be delivered", 180.0)


def test_a_second_up_of_one_host_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "tiny-adult")
    (tmp_path / "a").mkdir()
    address = hosts.address(tmp_path / "a")
    with SharedService(tmp_path / "a" / "var", tmp_path / "models", address, redis_url=hosts.redis_url) as first:
        (tmp_path / "b").mkdir()
        second = SharedService(tmp_path / "b" / "var", tmp_path / "models", address, redis_url=hosts.redis_url)
        refused = second.run("up")
        assert refused.returncode == EXIT_CANNOT_START
        assert f"another `triage up` of this host has the folder {address.scratch}" in refused.stderr
        assert "another `triage up`" not in first.log()


def test_without_a_redis_of_all_hosts_up_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    service = SharedService(tmp_path / "var", tmp_path / "models", hosts.address(tmp_path), redis_url="")
    refused = service.run("up")
    assert refused.returncode == EXIT_CANNOT_START
    assert "needs redis.url" in refused.stderr
