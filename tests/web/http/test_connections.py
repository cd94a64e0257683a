"""Connections that hold on: silent, slow, many. Over real sockets."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.raw_http import ASK, answered, connected, served, until_end
from tests.support.wait import wait_for
from triage.web.http.bounded_protocol import Deadlines
from triage.web.http.connection_limits import Connections, Limits

QUICK = Deadlines(head_s=0.5, body_s=0.5, stalled_s=0.5)


async def healthy(request: Request) -> Response:
    return PlainTextResponse("alive")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def endless(request: Request) -> Response:
    async def content():
        while not await request.is_disconnected():
            yield b"x" * 100_000

    return StreamingResponse(content())


def app() -> Starlette:
    return Starlette(
        routes=[Route("/healthz", healthy), Route("/length", length, methods=["POST"]), Route("/endless", endless)]
    )


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_silent_connections_keep_nobody_out_not_even_at_their_own_address(source: str):
    with served(app(), Limits(connections=40, of_an_address=20)) as port, ExitStack() as open_:
        for _ in range(60):
            open_.enter_context(connected(port))
        assert answered(port, source=source).startswith(b"HTTP/1.1 200")


def test_who_is_being_answered_is_not_sent_away_by_those_who_come():
    with served(app(), Limits(connections=10, of_an_address=10)) as port, ExitStack() as open_:
        watching = open_.enter_context(connected(port))
        watching.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert watching.recv(100).startswith(b"HTTP/1.1 200")
        for _ in range(30):
            open_.enter_context(connected(port))
        assert answered(port).startswith(b"HTTP/1.1 200")
        assert len(watching.recv(65536)) > 0


def test_an_address_that_is_being_answered_as_often_as_it_may_gets_no_more_and_others_do():
    with served(app(), Limits(connections=20, of_an_address=4)) as port, ExitStack() as open_:
        for _ in range(4):
            busy = open_.enter_context(connected(port))
            busy.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            assert busy.recv(12) == b"HTTP/1.1 200"
        assert answered(port) == b""
        assert answered(port, source="127.0.0.2").startswith(b"HTTP/1.1 200")


def test_a_named_proxy_may_have_as_many_as_there_are():
    limits = Limits(connections=20, of_an_address=4, is_proxy=lambda address: address == "127.0.0.1")
    with served(app(), limits) as port, ExitStack() as open_:
        busy = [open_.enter_context(connected(port)) for _ in range(10)]
        for each in busy:
            each.sendall(ASK)
        assert all(until_end(each).startswith(b"HTTP/1.1 200") for each in busy)


@pytest.mark.parametrize("start", [b"", b"GET /he", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: "])
def test_headers_have_a_deadline_however_many_bytes_come(start: bytes):
    with served(app(), deadlines=QUICK) as port, connected(port) as sock:
        sock.sendall(start)
        _drip_until_closed(sock)


def test_a_body_has_a_deadline_however_many_bytes_come():
    with served(app(), deadlines=QUICK) as port, connected(port) as sock:
        sock.sendall(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n")
        _drip_until_closed(sock)


def test_the_second_request_of_a_connection_has_deadlines_too():
    with served(app(), deadlines=QUICK) as port, connected(port) as sock:
        sock.sendall(ASK.replace(b"Connection: close\r\n", b""))
        assert sock.recv(12) == b"HTTP/1.1 200"
        sock.sendall(b"GET /heal")
        _drip_until_closed(sock)


def test_who_takes_nothing_of_an_answer_is_sent_away():
    with served(app(), Limits(connections=4, of_an_address=4), QUICK) as port, ExitStack() as open_:
        for _ in range(4):
            open_.enter_context(connected(port)).sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: answered(port).startswith(b"HTTP/1.1 200"), "a seat")


def test_a_body_that_is_not_refused_may_take_its_time_within_the_deadline():
    with served(app()) as port, connected(port) as sock:
        sock.sendall(b"POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
        for byte in b"abcde":
            sock.sendall(bytes([byte]))
        assert until_end(sock).endswith(b"5")


def test_who_leaves_in_the_middle_of_a_request_writes_nothing_in_the_log(caplog: pytest.LogCaptureFixture):
    from triage.reader_study.app import create_app

    with served(create_app({}, None, 60.0)) as port:  # type: ignore[arg-type]
        with connected(port) as sock:
            sock.sendall(b"POST /r/x/answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{")
        assert answered(port).startswith(b"HTTP/1.1 ")
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_process_with_few_descriptors_answers_and_writes_little(tmp_path: Path):
    script = tmp_path / "serve.py"
    script.write_text(
        "import logging, sys\n"
        "from tests.web.http.test_connections import app\n"
        "from triage.runtime.sockets import listen\n"
        "from triage.web.http.serving import server_of\n"
        "logging.basicConfig(level='WARNING', stream=sys.stderr)\n"
        "with listen('127.0.0.1', 0) as port:\n"
        "    print(port.getsockname()[1], flush=True)\n"
        "    server_of(app()).run(sockets=[port])\n"
    )
    few = (64, 64)
    with (tmp_path / "log").open("wb") as log, ExitStack() as open_:
        process = subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few),
            env={"PYTHONPATH": str(Path(__file__).parents[3])},
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            for _ in range(200):
                open_.enter_context(connected(port))
            assert answered(port).startswith(b"HTTP/1.1 200")
            open_.close()
            assert answered(port).startswith(b"HTTP/1.1 200")
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()
    assert (tmp_path / "log").stat().st_size < 10_000


def test_an_ipv6_network_is_one_address():
    class Seat:
        waits = False

        def __init__(self, address: str) -> None:
            self.address = address

        def leave(self) -> None:
            raise AssertionError

    connections = Connections(Limits(of_an_address=2))
    assert [connections.admit(Seat(f"2001:db8::{number}")) for number in (1, 2, 3)] == [True, True, False]
    assert connections.admit(Seat("2001:db8:0:1::1"))
    assert [connections.admit(Seat(each)) for each in ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1")] == [
        True,
        True,
        False,
    ]


def _drip_until_closed(sock: socket.socket) -> None:
    """A byte now and then until the other end has had enough; it has ten seconds, and half a one is its deadline."""
    sock.settimeout(0.05)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            sock.sendall(b"x")
            if sock.recv(4096) == b"":
                return
        except TimeoutError:
            continue
        except OSError:
            return
    pytest.fail("the connection stayed open")
