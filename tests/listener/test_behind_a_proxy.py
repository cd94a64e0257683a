"""Listeners behind a TCP proxy that says whom it speaks for: HAProxy, DCMTK, and peers that pretend."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pynetdicom import AE

from tests.support.certificates import authority, client_context
from tests.support.dicom_peer import (
    DX,
    RawPeer,
    Running,
    a_data_set,
    as_file,
    associate_rq,
    running_listener,
    store,
    with_meta,
)
from tests.support.dicom_senders import run, storescu
from tests.support.ports import free_port
from tests.support.proxy_headers import header
from tests.support.tcp_proxy import ADDRESS, checks, haproxy, running
from tests.support.wait import wait_for
from triage.dicom.part10 import Receipt, read_receipt
from triage.dicom.proxy_header import HeaderFault
from triage.metrics.labels import NoRequest, Rejection
from triage.runtime.health import HealthServer
from triage.settings.load import SettingsError, load
from triage.spool.spool import Spool

ABORT, REJECT, ACCEPT = 0x07, 0x03, 0x02
BEHIND = {"proxy_protocol_from": (f"{ADDRESS}/32",)}


def receipts(ours: Running) -> list[Receipt]:
    return [read_receipt(ours.spool.inbox_path(each)) for each in ours.inbox]


class PeerAt(RawPeer):
    """A peer that connects from an address of its own, with bytes that it sends first."""

    def __init__(self, port: int, source: str, first: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
        self.socket.sendall(first)


@contextmanager
def two_listeners(spool: Spool, folder: Path, options: str = "send-proxy-v2", **settings: object) -> Iterator[Pair]:
    with (
        running_listener(spool, **BEHIND, **settings) as first,
        running_listener(spool, **BEHIND, **settings) as second,
        haproxy(folder, [first.port, second.port], options) as port,
    ):
        yield Pair(port, (first, second))


class Pair:
    """Two listeners of one spool behind HAProxy, which takes them in turn."""

    def __init__(self, port: int, listeners: tuple[Running, Running]) -> None:
        self.port, self.listeners = port, listeners

    def counted(self, name: str, **labels: str) -> list[float]:
        return [each.counted(name, **labels) for each in self.listeners]


def test_dcmtk_stores_at_two_listeners_and_the_receipt_has_its_own_address(spool: Spool, tmp_path: Path):
    sent = [as_file(a_data_set(), tmp_path / f"{n}.dcm") for n in range(4)]
    with two_listeners(spool, tmp_path, source_addresses=("127.0.0.1/32",)) as pair:
        assert run("echoscu", "-aec", "CXR_TRIAGE", "127.0.0.1", pair.port).returncode == 0
        for each in sent:
            assert "(Success)" in storescu(pair.port, each)
        assert pair.counted("associations_accepted_total", calling_ae_title="other") in ([3, 2], [2, 3])
        found = receipts(pair.listeners[0])
        assert Counter(each.peer for each in found) == {"127.0.0.1": 4}


def test_allow_lists_and_log_lines_name_the_peer_behind_the_proxy(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with (
        two_listeners(spool, tmp_path, source_addresses=("127.0.0.9/32",)) as pair,
        PeerAt(pair.port, "127.0.0.9") as known,
        PeerAt(pair.port, "127.0.0.8") as stranger,
    ):
        assert known.associate()[0] == ACCEPT
        assert stranger.associate() == (REJECT, bytes([0, 1, 1, 1]))
        wait_for(
            lambda: sum(pair.counted("associations_rejected_total", reason=Rejection.SOURCE_ADDRESS)) == 1, "the count"
        )
    assert "association with 127.0.0.8 rejected" in caplog.text
    assert ADDRESS not in caplog.text


def test_quotas_are_of_each_peer_and_not_of_the_proxy(spool: Spool, tmp_path: Path):
    with running_listener(spool, max_associations_per_address=1, **BEHIND) as ours:
        with haproxy(tmp_path, [ours.port]) as port, ExitStack() as stack:
            peers = [stack.enter_context(PeerAt(port, f"127.0.0.{n}")) for n in (11, 12, 13)]
            assert [each.associate()[0] for each in peers] == [ACCEPT] * 3
            again = stack.enter_context(PeerAt(port, "127.0.0.12"))
            assert again.associate()[0] == REJECT
        assert ours.counted("associations_rejected_total", reason=Rejection.TOO_MANY_OF_ADDRESS) == 1


def test_health_checks_of_haproxy_are_no_associations_and_no_faults(spool: Spool, tmp_path: Path):
    """It finds the listeners up by checks with LOCAL headers, and sends on while they go."""
    options = "send-proxy-v2 check check-send-proxy inter 100 rise 2 fall 2"
    with two_listeners(spool, tmp_path, options, source_addresses=("127.0.0.1/32",)) as pair:
        wait_for(lambda: checks(tmp_path) == ["L4OK", "L4OK"], "checks of both")
        assert store(pair.port, a_data_set(), a_data_set()) == [0x0000] * 2
        assert pair.counted("association_requests_failed_total", why=NoRequest.SILENT) == [0, 0]
        for fault in HeaderFault:
            assert pair.counted("proxy_headers_refused_total", reason=fault) == [0, 0]


def test_a_checksum_and_other_values_of_haproxy_are_taken(spool: Spool, tmp_path: Path):
    options = "send-proxy-v2 proxy-v2-options crc32c,unique-id"
    with two_listeners(spool, tmp_path, options) as pair:
        assert store(pair.port, a_data_set()) == [0x0000]
        assert [each.peer for each in receipts(pair.listeners[0])] == ["127.0.0.1"]


def test_haproxy_with_version_1_or_without_a_header_is_told_apart(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with running_listener(spool, **BEHIND) as ours:
        for options, fault in (("send-proxy", HeaderFault.VERSION_1), ("", HeaderFault.MISSING)):
            with haproxy(tmp_path, [ours.port], options) as port, RawPeer(port) as peer:
                peer.send_pdu(0x01, associate_rq([(1, DX, ["1.2.840.10008.1.2.1"])], "RAW"))
                assert peer.receive()[0] == 0
            assert ours.counted("proxy_headers_refused_total", reason=fault) == 1
            assert not ours.inbox
    assert f"a connection of the proxy {ADDRESS} was closed: version 1" in caplog.text
    assert f"a connection of the proxy {ADDRESS} was closed: no PROXY header" in caplog.text


def test_a_header_of_a_stranger_buys_no_address(spool: Spool, caplog: pytest.LogCaptureFixture):
    with running_listener(spool, source_addresses=("10.1.2.0/24", "127.0.0.3"), **BEHIND) as ours:
        with PeerAt(ours.port, "127.0.0.3", header("10.1.2.3")) as stranger:
            stranger.send_pdu(0x01, associate_rq([], "RAW"))
            assert stranger.receive()[0] == ABORT
        with PeerAt(ours.port, "127.0.0.4", header("10.1.2.3")) as stranger:
            assert stranger.receive()[0] in (ABORT, REJECT)
        wait_for(lambda: ours.counted("association_requests_failed_total", why=NoRequest.NOT_DICOM) == 2, "both counts")
        assert not any(ours.counted("proxy_headers_refused_total", reason=fault) for fault in HeaderFault)
    # A proxy that was forgotten in the settings is found by the log, whether or not its address may send.
    for address in ("127.0.0.3", "127.0.0.4"):
        (line,) = (each for each in caplog.messages if f"no association with {address}" in each)
        assert "a PROXY header begins so, which is taken from listener.proxy_protocol_from alone" in line


def test_tls_at_a_port_without_it_is_called_so(spool: Spool, caplog: pytest.LogCaptureFixture):
    with running_listener(spool) as ours, socket.create_connection(("127.0.0.1", ours.port), 10) as peer:
        peer.sendall(b"\x16\x03\x01\x00\x05hello")
        assert peer.recv(1)[0] == ABORT
    assert "TLS begins so, which this port does not speak" in caplog.text


def test_a_slow_connection_of_the_proxy_stops_no_other(spool: Spool, tmp_path: Path):
    with running_listener(spool, max_associations=2, **BEHIND) as ours, ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(PeerAt(ours.port, ADDRESS, header("10.1.2.3")[:20]))
        with haproxy(tmp_path, [ours.port]) as port:
            assert store(port, a_data_set()) == [0x0000]


def test_tls_begins_behind_the_header(spool: Spool, tmp_path: Path):
    ca = authority(tmp_path)
    ours = ca.certificate("listener")
    settings = {"tls_port": 0, "tls_only": True, "tls_certificate": ours.path, "tls_key": ours.key}
    with running_listener(spool, **settings, **BEHIND) as listener, haproxy(tmp_path, [listener.port]) as port:
        context = client_context(ca.path)
        assert stored_with_tls(port, context) == 0x0000
        assert [each.peer for each in receipts(listener)] == ["127.0.0.1"]
        # A handshake where the header should be:
        with PeerAt(listener.port, ADDRESS) as peer, pytest.raises(OSError):
            context.wrap_socket(peer.socket, server_hostname="127.0.0.1")
        wait_for(lambda: listener.counted("proxy_headers_refused_total", reason=HeaderFault.MISSING) == 1, "the count")


def stored_with_tls(port: int, context: ssl.SSLContext) -> int:
    entity = AE("MODALITY")
    entity.add_requested_context(DX)
    made = entity.associate("127.0.0.1", port, ae_title="CXR_TRIAGE", tls_args=(context, "127.0.0.1"))
    assert made.is_established
    try:
        return int(made.send_c_store(with_meta(a_data_set())).Status)
    finally:
        made.release()


def test_many_senders_behind_one_proxy_lose_nothing(spool: Spool, tmp_path: Path):
    statuses: list[list[int]] = []
    with two_listeners(spool, tmp_path, "send-proxy-v2 check check-send-proxy inter 100") as pair:
        senders = [
            threading.Thread(target=lambda: statuses.append(store(pair.port, *(a_data_set() for _ in range(5)))))
            for _ in range(12)
        ]
        for each in senders:
            each.start()
        for each in senders:
            each.join()
        assert statuses == [[0x0000] * 5] * 12
        assert len(pair.listeners[0].inbox) == 60


@pytest.mark.parametrize(
    ("networks", "why"),
    [
        ('["0.0.0.0/0"]', "everybody"),
        ('["nonsense"]', "neither an address nor a network"),
        ('["127.0.0.0/8"]', "this machine's own programs"),
        ('["::1"]', "this machine's own programs"),
    ],
)
@pytest.mark.parametrize("section", ["listener", "reports"])
def test_networks_that_are_none_or_too_wide_end_the_start(tmp_path: Path, networks: str, why: str, section: str):
    path = tmp_path / "triage.toml"
    path.write_text(f"[{section}]\nproxy_protocol_from = {networks}\n")
    with pytest.raises(SettingsError, match=why):
        load(path, {})


def test_the_example_of_deploy_asks_every_process_of_a_listener(spool: Spool, tmp_path: Path):
    text, away = Path("deploy/haproxy/cxr-triage.cfg").read_text(), list[str]()
    with (
        running_listener(spool, **BEHIND) as listener,
        HealthServer(CollectorRegistry(), lambda: (True, "listening"), 0) as of_one,
        HealthServer(CollectorRegistry(), lambda: (not away, "listening"), 0) as of_next,
    ):
        for before, after in {
            "bind :11112": f"bind 127.0.0.1:{free_port()}\n    source {ADDRESS}",
            "#http-check connect port 9111": f"http-check connect port {of_next.port}",
            "#http-check send": "http-check send",
            "#http-check expect": "http-check expect",
            "10.0.0.11:11112 port 9110": f"127.0.0.1:{listener.port} port {of_one.port}",
        }.items():
            assert before in text
            text = text.replace(before, after)
        with running(tmp_path, text[: text.index("    server listener2")]):
            wait_for(lambda: checks(tmp_path) == ["L7OK"], "checks of both processes")
            away.append("the second's store")
            wait_for(lambda: checks(tmp_path) == ["L7STS"], "the host to be taken out")
            away.clear()
            wait_for(lambda: checks(tmp_path) == ["L7OK"], "the host to be back")


def test_the_example_of_deploy_serves_two_listeners_and_takes_one_out_that_stops(spool: Spool, tmp_path: Path):
    text, stopping = Path("deploy/haproxy/cxr-triage.cfg").read_text(), list[str]()
    port = free_port()
    with (
        running_listener(spool, **BEHIND) as first,
        running_listener(spool, **BEHIND) as second,
        HealthServer(CollectorRegistry(), lambda: (not stopping, "listening"), 0) as of_first,
        HealthServer(CollectorRegistry(), lambda: (True, "listening"), 0) as of_second,
    ):
        for before, after in {
            "bind :11112": f"bind 127.0.0.1:{port}\n    source {ADDRESS}",
            "10.0.0.11:11112 port 9110": f"127.0.0.1:{first.port} port {of_first.port}",
            "10.0.0.12:11112 port 9110": f"127.0.0.1:{second.port} port {of_second.port}",
        }.items():
            assert before in text
            text = text.replace(before, after)
        with running(tmp_path, text[: text.index("\n# Reports")] + "\n"):
            wait_for(lambda: checks(tmp_path) == ["L7OK", "L7OK"], "checks of both")
            assert store(port, a_data_set()) == [0x0000]
            assert [each.peer for each in receipts(first)] == ["127.0.0.1"]
            stopping.append("first")
            wait_for(lambda: checks(tmp_path) == ["L7STS", "L7OK"], "the first to be taken out")
            assert store(port, a_data_set()) == store(port, a_data_set()) == [0x0000]
