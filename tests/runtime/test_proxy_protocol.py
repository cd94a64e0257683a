"""The accept loop behind TCP proxies: what is read before a connection begins, and whom a slow proxy holds up."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.support.proxy_headers import checked, header, local
from tests.support.wait import wait_for
from triage.dicom.proxy_header import HeaderFault
from triage.dicom.tls import ServerTLS
from triage.runtime.accept_loop import AcceptLoop, ListeningPort
from triage.runtime.proxy_protocol import ProxyProtocol
from triage.runtime.sockets import open_port

PROXY, OTHER = "127.0.0.2", "127.0.0.3"


class Named:
    """Says whose connection it is, then gives back what comes."""

    def __init__(self, accepted: socket.socket, address: str, tls: ServerTLS | None) -> None:
        self.socket, self.address = accepted, address

    def serve(self) -> None:
        with self.socket:
            self.socket.sendall(f"{self.address}\n".encode())
            while data := self.socket.recv(100):
                self.socket.sendall(data)

    def break_off(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)


class Place:
    """A loop at a port, behind PROXY."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.faults: Counter[HeaderFault] = Counter()
        networks = (ipaddress.ip_network(f"{PROXY}/32"), ipaddress.ip_network("::1"))
        rules = ProxyProtocol(networks, lambda fault: self.faults.update([fault]))
        self.loop = AcceptLoop(Named, proxies=rules)
        self.host = host

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        with open_port(self.host, 0, shared=False) as port:
            self.port = port.getsockname()[1]
            thread = threading.Thread(target=self.loop.run, args=([ListeningPort(port)], stop.is_set))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                self.loop.break_off()
                self.loop.join(10.0)

    def connect(self, source: str = PROXY) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(source, 0))


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    with place.running():
        yield place


def said(connection: socket.socket, count: int = 100) -> bytes:
    """All that is answered until the connection ends, or ``count`` bytes."""
    data = b""
    try:
        while len(data) < count and (piece := connection.recv(count - len(data))):
            data += piece
    except ConnectionError:
        pass
    return data


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (header("10.1.2.3"), b"10.1.2.3\n"),
        (checked("2001:db8::7"), b"2001:db8::7\n"),
        (header("::ffff:10.1.2.3"), b"10.1.2.3\n"),
        (local(), b"127.0.0.2\n"),
    ],
)
def test_a_connection_is_the_named_peer_s_and_nothing_behind_the_header_is_lost(place: Place, sent: bytes, name: bytes):
    with place.connect() as proxy:
        for byte in sent + b"x":
            proxy.sendall(bytes([byte]))
        assert said(proxy, len(name) + 1) == name + b"x"
    assert not place.faults


def test_of_any_other_address_a_header_is_what_the_protocol_makes_of_it(place: Place):
    sent = header("10.1.2.3")
    with place.connect(OTHER) as other:
        other.sendall(sent)
        assert said(other, len(OTHER) + 1 + len(sent)) == f"{OTHER}\n".encode() + sent
    assert not place.faults


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"\x01\x00\x00\x00\x00\xcd" + bytes(70), HeaderFault.MISSING),
        (b"PROXY TCP4 10.1.2.3 10.1.2.4 1 2\r\n", HeaderFault.VERSION_1),
        (header("10.1.2.3")[:-1], HeaderFault.LOST),
        (header("10.1.2.3")[:5], HeaderFault.LOST),
        (header("10.1.2.3", family=0x31), HeaderFault.UNSUPPORTED),
        (checked("10.1.2.3")[:-1] + b"\x00", HeaderFault.CHECKSUM),
        (b"", HeaderFault.SILENT),
    ],
)
def test_a_proxy_without_a_valid_header_is_closed_counted_and_named(
    place: Place, sent: bytes, fault: HeaderFault, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    with place.connect() as proxy:
        proxy.sendall(sent)
        with suppress(OSError):  # it may be closed by now
            proxy.shutdown(socket.SHUT_WR)
        assert said(proxy) == b""
    wait_for(lambda: place.faults == {fault: 1}, "the count")
    wait_for(lambda: f"a connection of the proxy {PROXY} was closed" in caplog.text, "the line")


def test_a_header_that_does_not_end_in_time_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triage.runtime.proxy_protocol.HEADER_TIMEOUT_S", 0.2)
    with place.connect() as half, place.connect() as silent:
        half.sendall(header("10.1.2.3")[:20])
        assert said(half) == b""
        assert said(silent) == b""
    wait_for(lambda: place.faults == {HeaderFault.LATE: 2}, "the count")


def test_slow_proxies_hold_up_nobody(place: Place):
    with ExitStack() as stack:
        slow = [stack.enter_context(place.connect()) for _ in range(20)]
        for each in slow:
            each.sendall(header("10.1.2.3")[:10])
        with place.connect() as quick, place.connect(OTHER) as other:
            quick.sendall(header("10.1.2.4"))
            assert said(quick, 9) == b"10.1.2.4\n"
            assert said(other, len(OTHER) + 1) == f"{OTHER}\n".encode()
        slow[0].sendall(header("10.1.2.3")[10:])
        assert said(slow[0], 9) == b"10.1.2.3\n"
    assert place.faults.keys() <= {HeaderFault.LOST}


def test_of_too_many_that_send_no_header_the_oldest_goes(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triage.runtime.accept_loop._MOST_AWAITED", 2)
    monkeypatch.setattr("triage.runtime.proxy_protocol.HEADER_TIMEOUT_S", 60.0)
    with place.connect() as first, place.connect(), place.connect() as third:
        assert said(first) == b""
        third.sendall(header("10.1.2.3"))
        assert said(third, 9) == b"10.1.2.3\n"


def test_a_health_check_of_the_proxy_is_no_connection_and_no_fault(place: Place, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    with place.connect() as check:
        check.sendall(local(b"\x04\x00\x01a"))
        with suppress(OSError):  # it may be closed by now
            check.shutdown(socket.SHUT_WR)
        assert said(check) == b""
    assert not place.faults
    assert caplog.records == []


def test_the_loopback_of_another_machine_is_not_ours():
    rules = ProxyProtocol.of(["192.0.2.9"], lambda fault: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(header("127.0.0.1"))
        assert rules.peer(ours, "192.0.2.9") == "192.0.2.9"


def test_a_proxy_at_a_port_of_ipv6_is_known_by_its_ipv4_address():
    rules = ProxyProtocol.of(["10.0.0.5/32"], lambda fault: None)
    assert rules.expects_header("::ffff:10.0.0.5")
    assert not rules.expects_header("10.0.0.6")
    assert not rules.expects_header("fe80::1%eth0")


def test_a_stop_ends_what_waits_for_its_header():
    place = Place()
    with place.running():
        waiting = place.connect()
        wait_for(lambda: place.loop._awaited, "the connection")
    with waiting:
        assert said(waiting) == b""
    assert not place.loop._awaited
