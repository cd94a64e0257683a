"""Requests that two readers read in two ways are refused, over real sockets."""

from __future__ import annotations

import h11
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.raw_http import answered, served
from triage.web.http.problem import exception_handlers
from triage.web.http.strict_requests import StrictConnection

HOST = b"Host: 127.0.0.1\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"

AMBIGUOUS = {
    "length and chunks": CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks and length": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + HIDDEN,
    "a coding that is not chunked": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n0\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
    "a bare LF behind the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "a bare LF between headers": b"GET / HTTP/1.1\r\nX: 1\n" + HOST + b"\r\n",
    "a bare LF at the end": b"GET / HTTP/1.1\r\n" + HOST + b"\n",
    "a bare CR": b"GET / HTTP/1.1\r\nX: 1\rY: 2\r\n" + HOST + b"\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nX: 1\0\r\n" + HOST + b"\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 4\r\n\r\nabcd",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a bare LF behind a chunk's size": CHUNKED + b"\r\n3\nabc\r\n0\r\n\r\n",
    "a bare LF behind the last chunk": CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\n" + HIDDEN,
    "trailers": CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
}


async def size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def app() -> Starlette:
    return Starlette(
        routes=[Route("/", size, methods=["GET", "POST"]), Route("/hidden", lambda request: PlainTextResponse("seen"))],
        exception_handlers=exception_handlers("the test", {}),
    )


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_it_is_refused_and_what_hides_behind_it_is_not_answered(name: str, caplog: pytest.LogCaptureFixture):
    with served(app()) as port:
        answer = answered(port, AMBIGUOUS[name])
    assert b" 200 " not in answer.partition(b"\r\n")[0]
    assert b"seen" not in answer
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_application_that_answers_without_reading_the_body_has_no_say_behind_a_refusal(
    name: str, caplog: pytest.LogCaptureFixture
):
    with served(app()) as port:
        answer = answered(port, AMBIGUOUS[name].replace(b" / ", b" /nothing "))
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        (b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 4\r\n\r\na\nb\n", b"4"),
        (CHUNKED + b"Connection: close\r\n\r\n3\r\na\nb\r\n2\r\n\n\n\r\n0\r\n\r\n", b"5"),
        (b"GET / HTTP/1.0\r\n\r\n", b"0"),
    ],
)
def test_bodies_may_hold_line_ends_and_proxies_may_speak_1_0(sent: bytes, size: bytes):
    with served(app()) as port:
        assert answered(port, sent).endswith(b"\r\n\r\n" + size)


@pytest.mark.parametrize("piece", [1, 2, 7, 4096])
def test_what_comes_in_pieces_is_read_alike(piece: int):
    chunked = CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n"
    assert _events(chunked, piece) == ["Request", "Data", "EndOfMessage"]
    with pytest.raises(h11.RemoteProtocolError):
        _events(CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\n", piece)
    with pytest.raises(h11.RemoteProtocolError):
        _events(b"GET / HTTP/1.1\r\nHost: a\n\r\n", piece)


def test_two_requests_in_one_piece_are_two():
    one = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    with served(app()) as port:
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert answered(port, one + last).count(b"HTTP/1.1 200") == 2


def _events(sent: bytes, piece: int) -> list[str]:
    connection, seen = StrictConnection(16384), []
    for start in range(0, len(sent), piece):
        connection.receive_data(sent[start : start + piece])
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            name = type(event).__name__
            if name != "Data" or "Data" not in seen:
                seen.append(name)
    return seen
