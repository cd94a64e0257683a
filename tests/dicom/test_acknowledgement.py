"""What a peer sends in several small writes is acknowledged before we wait for the rest of it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from triage.dicom.acknowledgement import acknowledge_now
from triage.dicom.bounded_socket import BoundedReader
from triage.hl7.mllp import MLLPConnection


class Recorded:
    """A socket that notes the order of options and reads, and gives what is left of ``content``, piece by piece."""

    def __init__(self, *content: bytes) -> None:
        self.content, self.calls = list(content), []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.calls.append(("option", level, option, value))

    def recv(self, most: int) -> bytes:
        self.calls.append(("read", most))
        return self.content.pop(0)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_QUICKACK is an option of Linux")


def test_each_read_of_a_response_follows_an_acknowledgement():
    peer = Recorded(b"head", b"bo", b"dy")
    assert BoundedReader(peer, "PACS", 5.0)(8) == b"headbody"  # type: ignore[arg-type]
    at_once = ("option", socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    assert peer.calls == [at_once, ("read", 8), at_once, ("read", 4), at_once, ("read", 2)]


def test_a_connection_that_is_gone_is_found_out_where_it_is_read():
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    acknowledge_now(ours)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_an_mllp_connection_sends_the_end_of_a_message_without_waiting(listening: socket.socket):
    accepted: list[socket.socket] = []
    thread = threading.Thread(target=lambda: accepted.append(listening.accept()[0]))
    thread.start()
    with MLLPConnection("127.0.0.1", listening.getsockname()[1], 5.0) as connection:
        thread.join()
        assert connection._socket is not None
        assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    accepted[0].close()
