"""A steady load of requests with a session and of report messages, by way of HAProxy, and what came of each."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.hosts import HostRole
from tests.support.report_sender import Answer, report
from tests.support.tcp_proxy import ADDRESS
from tests.support.wait import wait_for

_BETWEEN_S = 0.02
_AT_LEAST = 20
"""Requests and messages between two steps."""


def balancer(webs: Sequence[HostRole], reports: dict[int, HostRole], web_port: int, report_port: int) -> str:
    """The rules of deploy/haproxy for both, with the addresses of a test; ``reports`` by their MLLP port."""
    example = (Path(__file__).parents[2] / "deploy/haproxy/cxr-triage.cfg").read_text()
    mllp = example[example.index("listen reports") : example.index("    server reports1")]
    page = example[example.index("listen web") : example.index("    server web1")]
    mllp = mllp.replace("bind :2575", f"bind 127.0.0.1:{report_port}") + f"    source {ADDRESS}\n"
    page = page.replace("bind :443 ssl crt /etc/haproxy/cxr-triage.pem", f"bind 127.0.0.1:{web_port}")
    of_reports = [
        f"    server r{n} 127.0.0.1:{port} port {each.port}\n" for n, (port, each) in enumerate(reports.items())
    ]
    of_pages = [f"    server w{n} 127.0.0.1:{each.port}\n" for n, each in enumerate(webs)]
    return mllp + "".join(of_reports) + page + "".join(of_pages)


@dataclass
class Load:
    """Threads that go on until the end, each with one act after the other."""

    done: int = 0
    faults: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    closing: ExitStack = field(default_factory=ExitStack)

    def some(self) -> None:
        """Wait until some more acts were done."""
        before = self.done
        wait_for(lambda: self.done >= before + _AT_LEAST, "the load to go on", 120.0)

    @contextmanager
    def running(self, *acts: Callable[[], None]) -> Iterator[None]:
        threads = [threading.Thread(target=self._run, args=(each,)) for each in acts]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self.ended.set()
            for each in threads:
                each.join(120)
            self.closing.close()

    def _run(self, act: Callable[[], None]) -> None:
        while not self.ended.wait(_BETWEEN_S):
            try:
                act()
            except Exception as error:
                self.faults.append(repr(error))


@dataclass
class Pages(Load):
    """A browser with a session: pages, a search, and live changes that it opens again when they have ended."""

    address: str = ""
    cookie: str = ""
    streams: int = 0

    def sign_in(self, name: str, password: str) -> None:
        with self._client() as client:
            answer = client.post("/sign-in", data={"name": name, "password": password, "next": "/"})
        assert answer.status_code == 303, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def asking(self) -> Callable[[], None]:
        """One request after the other, over connections that are kept."""
        client = self.closing.enter_context(self._client())
        asked = itertools.cycle(
            [
                lambda: client.get("/api/session"),
                lambda: client.get("/api/worklist"),
                lambda: client.post("/api/list", json={"show": "unread"}),
            ]
        )

        def ask() -> None:
            answer = next(asked)()
            if answer.status_code != 200:
                self.faults.append(f"{answer.status_code} {answer.request.url}: {answer.text}")
            self.done += 1

        return ask

    def follow(self) -> None:
        """Live changes until their end, which must be that of a whole answer: one that is cut off raises."""
        with self._client() as client, client.stream("GET", "/api/changes") as answer:
            if answer.status_code != 200:
                self.faults.append(f"live changes: {answer.status_code}")
            for _ in answer.iter_lines():
                if self.ended.is_set():
                    return
        self.streams += 1

    def _client(self) -> httpx.Client:
        headers = {"X-Triage-Page": "1", "Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        return httpx.Client(base_url=self.address, headers=headers, trust_env=False, timeout=60)


@dataclass
class Messages(Load):
    """Senders of reports, each with a connection that it keeps, and one that says nothing."""

    port: int = 0
    acknowledged: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    hung_up: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def sending(self) -> Callable[[], None]:
        """One message after the other; one that was not acknowledged is sent again over a new connection."""
        open_now: list[socket.socket] = []
        self.closing.callback(lambda: [each.close() for each in open_now])

        def send() -> None:
            number = next(self._numbers)
            accession = f"ACC-{number}"
            message = b"\x0b" + report(str(number), accession=accession).encode() + b"\x1c\r"
            while (answer := self._exchanged(open_now, message)) is None:
                self.again.append(accession)
            if (answer.code, answer.about) != ("AA", str(number)):
                self.faults.append(f"{number}: {answer}")
            self.acknowledged.add(accession)
            self.done += 1

        return send

    def be_silent(self) -> None:
        """Hold a connection until the other side hangs up, which must be without a reset."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
            while not self.ended.is_set():
                with suppress(TimeoutError):
                    assert connection.recv(1) == b""
                    self.hung_up += 1
                    return

    def _exchanged(self, open_now: list[socket.socket], message: bytes) -> Answer | None:
        """The acknowledgement; None if the connection ended before it."""
        if not open_now:
            open_now.append(socket.create_connection(("127.0.0.1", self.port), timeout=60))
        received = b""
        with suppress(ConnectionError):
            open_now[0].sendall(message)
            while not received.endswith(b"\x1c\r"):
                piece = open_now[0].recv(1 << 16)
                if not piece:
                    break
                received += piece
        if received.endswith(b"\x1c\r"):
            return Answer.of(received)
        open_now.pop().close()
        return None
