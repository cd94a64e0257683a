"""Two hosts behind HAProxy, restarted one after the other while DCMTK sends: nothing is refused, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom_senders import storescu
from tests.support.hosts import Hosts
from tests.support.model_folders import write_model
from tests.support.receivers import free_port, store_scp
from tests.support.service import a_chest, read_bytes
from tests.support.shared_service import SharedService
from tests.support.tcp_proxy import ADDRESS, checks, running
from tests.support.wait import wait_for
from triage.errors import EXIT_CANNOT_START

_AT_LEAST = 3
"""Studies that are sent between two steps."""


@dataclass
class Sender:
    """Sends one study after another by DCMTK, and remembers each answer."""

    port: int
    folder: Path
    answers: dict[str, str] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            content = a_chest(number)
            file = self.folder / f"{number}.dcm"
            file.write_bytes(content)
            self.answers[str(read_bytes(content).StudyInstanceUID)] = storescu(self.port, file)

    def send_some(self) -> None:
        """Wait until a few more were sent."""
        before = len(self.answers)
        wait_for(lambda: len(self.answers) >= before + _AT_LEAST, "studies to be sent", 120.0)

    @contextmanager
    def sending(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(120)


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
                folder / "var", tmp_path / "models", hosts.address(folder), **settings(hosts, pacs.port)
            )
            services.append(stack.enter_context(service))
        try:
            yield services, pacs.received
        except AssertionError as error:
            for each in services:
                error.add_note(each.log()[-4000:])
            raise


def settings(hosts: Hosts, pacs: int) -> dict[str, Any]:
    return {
        "redis_url": hosts.redis_url,
        "listener_drain_s": 4,
        "listener_proxy_protocol_from": f"{ADDRESS}/32",
        "deliver_metrics_port": 0,
        "deliver_interval_s": 0.2,
        "channels__sr__pacs__host": "127.0.0.1",
        "channels__sr__pacs__port": pacs,
        "channels__sr__pacs__called_ae_title": "PACS",
        "channels__sr__pacs__delay_s": 0,
        "channels__sr__pacs__enabled": "true",
    }


def balancer(services: list[SharedService], port: int) -> str:
    """The rules of deploy/haproxy, with the addresses of a test."""
    example = (Path(__file__).parents[3] / "deploy/haproxy/cxr-triage.cfg").read_text()
    rules = example[: example.index("    server listener1")].replace("bind :11112", f"bind 127.0.0.1:{port}")
    lines = [
        f"    server listener{number} 127.0.0.1:{each.dicom_port} port {each.listener_ports[0]}\n"
        for number, each in enumerate(services)
    ]
    return rules + f"    source {ADDRESS}\n" + "".join(lines)


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


def told(received: list[bytes]) -> set[str]:
    """The studies of the reports that a PACS got."""
    from io import BytesIO

    from pydicom import dcmread

    return {str(dcmread(BytesIO(each), force=True).StudyInstanceUID) for each in list(received)}


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
