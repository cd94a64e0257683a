"""A request to a peer that drips, hangs, floods or lies is over in time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import authority
from triage.runtime.http_request import HttpPeer, PeerError, ask_once

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which ``answer`` is called with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads: list[threading.Thread] = []

        def one(sock: socket.socket) -> None:
            try:
                answer(sock)
            except OSError:
                pass
            finally:
                sock.close()

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=one, args=(sock,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for each in threads:
                each.join(20)


def _drip(content: bytes) -> Callable[[socket.socket], None]:
    """Send ``content`` and then a byte now and then, for ever."""

    def answer(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(content)
        while True:
            sock.sendall(b"a")
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n" * 20],
    ids=["status", "first header", "header", "continue"],
)
def test_who_drips_before_the_answer_is_whole_has_not_answered(said: bytes):
    with peer(_drip(said)) as port, pytest.raises(PeerError, match="TimeoutError"):
        ask_once(f"http://127.0.0.1:{port}/", 0.5)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n"]
)
def test_who_drips_a_body_has_answered(framing: bytes):
    with peer(_drip(b"HTTP/1.1 200 OK\r\n" + framing)) as port:
        assert ask_once(f"http://127.0.0.1:{port}/", 0.5).status == 200


def test_who_floods_is_read_no_further_than_needed():
    def flood(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    with peer(flood) as port:
        assert len(ask_once(f"http://127.0.0.1:{port}/", 5).body) == 65536


def test_who_never_ends_the_handshake_is_given_up(tmp_path: Path):
    def hang(sock: socket.socket) -> None:
        while sock.recv(65536):
            continue

    with peer(hang) as port:
        connection = HttpPeer(f"https://127.0.0.1:{port}/", 0.5)
        with pytest.raises(PeerError):
            connection.connect()
        connection.close()


def test_after_a_cut_body_the_next_request_has_a_connection_of_its_own():
    def answer(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000)
        sock.recv(65536)

    with peer(answer) as port:
        connection = HttpPeer(f"http://127.0.0.1:{port}/", 5)
        assert [connection.ask("POST", b"{}").status for _ in range(3)] == [200] * 3
        connection.close()


def test_over_tls_it_is_asked_and_answered(tmp_path: Path):
    ca = authority(tmp_path)
    certificate = ca.certificate("peer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)

    def answer(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(OK)

    with peer(answer) as port:
        trusting = ssl.create_default_context(cafile=str(ca.path))
        connection = HttpPeer(f"https://127.0.0.1:{port}/", 10, trusting)
        assert connection.ask("GET").body == b"ok"
        connection.close()
        with pytest.raises(PeerError, match="SSLCertVerificationError"):
            ask_once(f"https://127.0.0.1:{port}/", 10)


def test_who_is_not_there_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    with pytest.raises(PeerError, match="ConnectionRefusedError"):
        ask_once(f"http://127.0.0.1:{port}/", 5)


@pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example"])
def test_a_name_that_can_be_nobody_s_is_not_reached(host: str):
    with pytest.raises(PeerError, match="UnicodeError"):
        ask_once(f"http://{host}/", 5)
