"""The accept loop on real sockets: what it says while nothing happens, and what does not end it."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.wait import wait_for
from tests.support.written_log import written_log
from triage.dicom.tls import ServerTLS
from triage.runtime.accept_loop import AcceptLoop, ListeningPort
from triage.runtime.sockets import open_port


class Echo:
    """Gives back what comes."""

    def __init__(self, accepted: socket.socket, address: str, tls: ServerTLS | None = None) -> None:
        self.socket, self.address = accepted, address

    def serve(self) -> None:
        with self.socket:
            while data := self.socket.recv(100):
                self.socket.sendall(data)

    def break_off(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(loop: AcceptLoop[Echo], port: socket.socket) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=([ListeningPort(port)], stop.is_set))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()
        loop.break_off()
        loop.join(10.0)


def echoed(port: socket.socket) -> bool:
    with socket.create_connection(port.getsockname(), timeout=30) as peer:
        try:
            peer.sendall(b"x")
            return peer.recv(1) == b"x"
        except ConnectionError:
            return False


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with open_port("127.0.0.1", 0, shared=False) as opened:
        yield opened


def test_while_nobody_connects_nothing_is_logged(port: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running(AcceptLoop(Echo), port) as stop:
        assert echoed(port)
        stop.wait(3.0)
    assert caplog.records == []


def test_an_accept_that_fails_on_and_on_makes_a_line_a_minute(port: socket.socket) -> None:
    class Starved(socket.socket):
        left = 30

        def accept(self) -> Any:
            if self.left:
                self.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    starved = Starved(fileno=port.detach())
    starved.setblocking(False)
    with starved, written_log() as log, running(AcceptLoop(Echo), starved):
        assert echoed(starved), "it goes on when there are descriptors again"
    assert log.getvalue() == "a connection could not be accepted: Too many open files\n"


def test_a_conversation_that_cannot_begin_ends_no_other(port: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    begun: list[Any] = []

    def begin(accepted: socket.socket, address: str, tls: ServerTLS | None) -> Echo | None:
        begun.append(address)
        if len(begun) == 1:
            raise OSError("the peer is gone")
        if len(begun) == 2:
            accepted.close()
            return None
        return Echo(accepted, address)

    with running(AcceptLoop(begin), port):
        assert [echoed(port) for _ in range(3)] == [False, False, True]
    assert "was closed: the peer is gone" in caplog.text


def test_who_is_superfluous_is_broken_off_and_the_count_is_told(port: socket.socket) -> None:
    counts: list[int] = []

    def oldest(open_now: Sequence[Echo]) -> Echo | None:
        return open_now[0] if len(open_now) >= 2 else None

    loop = AcceptLoop(Echo, oldest, counts.append)
    with running(loop, port):
        peers = [socket.create_connection(port.getsockname(), timeout=30) for _ in range(3)]
        assert peers[0].recv(1) == b""
        peers[2].sendall(b"y")
        assert peers[2].recv(1) == b"y"
        for each in peers:
            each.close()
        wait_for(lambda: loop.open() == [], "the end of all")
    assert max(counts) <= 3
    assert counts[-1] == 0


class Slow(Echo):
    """A connection whose thread has not run again since it was told to end."""

    told = 0

    def break_off(self) -> None:
        self.told += 1


def test_a_connection_that_takes_its_time_to_end_is_not_chosen_twice(port: socket.socket) -> None:
    loop = AcceptLoop(Slow, lambda open_now: open_now[0] if len(open_now) >= 2 else None)
    with running(loop, port):
        peers = [socket.create_connection(port.getsockname(), timeout=30) for _ in range(5)]
        for each in peers:
            each.sendall(b"y")
            assert each.recv(1) == b"y"
        assert [each.told for each in loop.open()] == [1, 1, 1, 0, 0]
        for each in peers:
            each.close()


def test_what_the_kernel_has_accepted_by_the_end_is_served(port: socket.socket) -> None:
    with socket.create_connection(port.getsockname(), timeout=30) as early:
        loop = AcceptLoop(Echo)
        loop.run([ListeningPort(port)], _at_once())
        early.sendall(b"z")
        assert early.recv(1) == b"z"
    loop.join(10.0)


def _at_once() -> Callable[[], bool]:
    return lambda: True
