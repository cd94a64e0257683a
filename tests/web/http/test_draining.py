"""A server that is told to stop: what still comes is answered, each connection ends with its response, and it ends."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.raw_http import ASK, connected, until_end
from tests.support.wait import wait_for
from triage.runtime.sockets import listen
from triage.web.http.serving import BoundedServer, server_of

LONG_S = 3600.0


@dataclass
class Slow:
    """An application with an answer that waits until the test lets it go."""

    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/healthz", self.healthy), Route("/slow", self.slow)])

    async def healthy(self, request: Request) -> Response:
        return PlainTextResponse("alive")

    def slow(self, request: Request) -> Response:
        self.asked.set()
        assert self.may_answer.wait(60)
        return PlainTextResponse("done")


@contextmanager
def serving(slow: Slow, drain_s: float) -> Iterator[tuple[BoundedServer, int, threading.Thread]]:
    with listen("127.0.0.1", 0) as listening:
        server = server_of(slow.app(), drain_s=drain_s)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started and server._loop is not None, "the server")
            yield server, listening.getsockname()[1], thread
        finally:
            slow.may_answer.set()
            server.should_exit = True
            thread.join()


def test_until_the_drain_is_over_all_is_answered_and_each_response_is_the_last_of_its_connection():
    with serving(slow := Slow(), LONG_S) as (server, port, thread):
        kept, busy = (http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2))
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() == b"alive" and kept.sock is not None
        busy.request("GET", "/slow")
        assert slow.asked.wait(60)
        server.stop()
        server.stop()
        kept.request("GET", "/healthz")  # over the connection that was open
        last = kept.getresponse()
        assert (last.status, last.headers["connection"], last.read()) == (200, "close", b"alive")
        with connected(port) as new:
            new.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = until_end(new)
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
        slow.may_answer.set()
        begun_before = busy.getresponse()
        assert (begun_before.headers["connection"], begun_before.read()) == ("close", b"done")
        assert thread.is_alive() and server.is_draining and not server.should_exit


def test_it_ends_by_itself_when_the_time_is_over_and_answers_what_is_in_progress():
    with serving(slow := Slow(), 0.2) as (server, port, thread):
        busy = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        busy.request("GET", "/slow")
        assert slow.asked.wait(60)
        server.stop()
        wait_for(lambda: server.should_exit, "the end of the drain")
        slow.may_answer.set()
        assert busy.getresponse().read() == b"done"
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("drain_s", [0.0, LONG_S])
def test_without_a_time_it_ends_at_once(drain_s: float):
    with serving(Slow(), drain_s) as (server, _, thread):
        server.stop()
        if drain_s:
            assert not server.should_exit
            return
        thread.join(60)
        assert not thread.is_alive()


def test_a_connection_that_the_kernel_had_accepted_is_served_and_not_reset():
    """Between the last look at the port and its end others connect: nothing of the server's accepts them any more."""

    async def end_with_one_waiting(server: BoundedServer, listening: socket.socket) -> None:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        listening.setblocking(False)
        await server.startup(sockets=[])
        await server.on_tick(0)
        await server.shutdown(sockets=[listening])

    with listen("127.0.0.1", 0) as listening, connected(listening.getsockname()[1]) as waiting:
        waiting.sendall(ASK)
        asyncio.run(end_with_one_waiting(server_of(Slow().app()), listening))
        assert until_end(waiting).startswith(b"HTTP/1.1 200")
