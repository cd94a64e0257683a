"""Sixty guess passwords at the whole service, from several addresses: who belongs here comes in and works on."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from tests.support.model_folders import write_model
from tests.support.signed_in_web import ADMIN, READER, write_users
from tests.support.wait import wait_for
from tests.support.whole_service import Service, status_of

GUESSERS, ADDRESSES = 60, 6
PATIENT_S = 120.0
"""For one answer, on a machine that is busy with other things, too."""


class Visitor:
    """A client at one address of this machine, with a connection for each request."""

    def __init__(self, port: int, address: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, PATIENT_S, (address, 0))

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, http.client.HTTPMessage]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(self._connection):
            self._connection.request(method, path, body.encode() or None, named)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status, answer.headers

    def hang_up(self) -> None:
        """Wait for no answer any more; from any thread."""
        with suppress(OSError, AttributeError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def sign_in(self, name: str, password: str) -> str:
        """The cookie."""
        form = urlencode({"name": name, "password": password, "next": "/"})
        status, headers = self.ask("POST", "/sign-in", form, content_type="application/x-www-form-urlencoded")
        assert status == 303, status
        return headers["Set-Cookie"].partition(";")[0]

    def by_password(self, name: str, password: str) -> int:
        credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
        return self.ask("GET", "/api/session", Authorization=f"Basic {credentials}")[0]


@contextmanager
def crowd(port: int) -> Iterator[Counter[int]]:
    """Guess without end, each as fast as it is answered, a third at each name that exists. What they were told."""
    done, told = threading.Event(), Counter[int]()

    def guess(number: int) -> None:
        name = (READER[0], ADMIN[0], f"stranger-{number}")[number % 3]
        for turn in count():
            if done.is_set():
                return
            with suppress(OSError, http.client.HTTPException):
                told[visitors[number].by_password(name, f"guess {number} {turn}")] += 1

    visitors = [Visitor(port, f"127.0.1.{1 + number % ADDRESSES}") for number in range(GUESSERS)]
    guessers = [threading.Thread(target=guess, args=(number,)) for number in range(GUESSERS)]
    for each in guessers:
        each.start()
    try:
        yield told
    finally:
        done.set()
        for visitor, each in zip(visitors, guessers, strict=True):
            visitor.hang_up()
            each.join()


def test_sixty_guessers_lock_nobody_out_and_the_page_goes_on(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "tiny-adult")
    users = write_users(tmp_path)
    with Service(
        tmp_path / "service",
        tmp_path / "models",
        sign_in_method="users",
        sign_in_users_file=str(users),
        audit_path=str(tmp_path / "audit" / "audit.xml"),
    ) as service:
        reader = Visitor(service.web_port, "127.0.2.1")
        cookie = reader.sign_in(*READER)
        with crowd(service.web_port) as told:
            wait_for(lambda: told[401] >= ADDRESSES and told.total() >= GUESSERS, "the crowd to be answered", PATIENT_S)
            for path in ("/", "/api/worklist", "/api/session"):  # readers who are signed in work on
                assert reader.ask("GET", path, Cookie=cookie)[0] == 200
            newcomer = Visitor(service.web_port, "127.0.2.2")
            own = newcomer.sign_in(*ADMIN)  # for the first time, and from a new address
            assert newcomer.ask("GET", "/api/worklist", Cookie=own)[0] == 200
            assert Visitor(service.web_port, "127.0.2.3").by_password(*READER) == 200
            for port in service.ports:
                assert (status_of(port, "/healthz"), status_of(port, "/readyz")) == (200, 200)
            assert set(told) <= {401, 429, 503}, told
        assert "Traceback" not in service.log()
