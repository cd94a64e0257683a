"""The webhook, against a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.delivery.test_deliverer import Clock, states
from tests.runtime.test_http_request import peer
from tests.support.odd_text import ODD
from tests.support.receivers import free_port, silent_port
from tests.support.studies import a_study
from triage.channels.factory import channel_of
from triage.channels.webhook.channel import SIGNATURE
from triage.channels.webhook.settings import WebhookDestination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import State
from triage.metrics.delivery import create_delivery
from triage.spool.spool import Spool

SECRET = "sixteen characters"


class Server(ThreadingHTTPServer):
    """Answers statuses in turn, the last one for ever; keeps what came."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[str, str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers[SIGNATURE], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_server(*statuses: int) -> Iterator[Server]:
    with Server(*statuses) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def a_deliverer(spool: Spool, port: int, clock: Any = None, **settings: Any) -> Deliverer:
    values = {"name": "hook", "url": f"http://127.0.0.1:{port}/results?site=1", "secret": SECRET, "timeout_s": 5.0}
    destination = WebhookDestination(**{**values, **settings})
    outbox = Outbox(spool)
    outbox.prepare(["hook"])
    metrics = create_delivery(CollectorRegistry())
    return Deliverer(spool, outbox, destination, channel_of(destination), metrics, now=clock or Clock())


def test_a_result_is_posted_signed_and_without_the_patient(spool: Spool):
    study = a_study(spool, "hook")
    with web_server(200) as server:
        deliverer = a_deliverer(spool, server.server_address[1])
        deliverer.round()

    ((path, signature, body),) = server.received
    content = json.loads(body)
    assert path == "/results?site=1"
    assert (content["study_instance_uid"], content["tag"], content["priority"]) == (study, "ABNORMAL", "HIGH")
    assert b"DOE" not in body
    moment, digest = (part.partition("=")[2] for part in signature.split(","))
    assert digest == hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert states(deliverer, study) == [State.DELIVERED]


def test_any_accession_number_comes_back_whole(spool: Spool):
    sent = {a_study(spool, "hook", accession_number=odd): odd for odd in ODD.values()}
    with web_server(200) as server:
        deliverer = a_deliverer(spool, server.server_address[1])
        deliverer.round()
        deliverer.round()

    contents = [json.loads(body) for _, _, body in server.received]
    assert {each["study_instance_uid"]: each["accession_number"] for each in contents} == sent
    assert all(body.isascii() for _, _, body in server.received)


@pytest.mark.parametrize(
    ("status", "state"),
    [(204, State.DELIVERED), (302, State.WAITING), (401, State.WAITING), (422, State.DEAD), (503, State.WAITING)],
)
def test_a_status_decides(spool: Spool, status: int, state: State):
    study = a_study(spool, "hook")
    with web_server(status) as server:
        deliverer = a_deliverer(spool, server.server_address[1])
        deliverer.round()

    assert states(deliverer, study) == [state]
    assert len(server.received) == 1


def test_it_is_repeated_with_the_same_body(spool: Spool):
    a_study(spool, "hook")
    clock = Clock()
    with web_server(500, 200) as server:
        deliverer = a_deliverer(spool, server.server_address[1], clock)
        deliverer.round()
        clock.at += 100.0
        deliverer.round()

    assert len({body for _, _, body in server.received}) == 1
    assert len(server.received) == 2


def test_silence_is_an_attempt_and_absence_is_none(spool: Spool):
    study = a_study(spool, "hook")
    clock = Clock()
    a_deliverer(spool, free_port(), clock).round()
    deliverer = a_deliverer(spool, 1, clock)
    assert deliverer.outbox.waiting("hook")[0].tries == 0
    clock.at += 100.0
    with silent_port() as port:
        a_deliverer(spool, port, clock, timeout_s=0.5).round()

    assert deliverer.outbox.waiting("hook")[0].tries == 1
    assert states(deliverer, study) == [State.WAITING]


def test_it_is_tried_with_nobodys_data():
    with web_server(200) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        channel = channel_of(WebhookDestination(name="hook", url=address, secret=SECRET))  # type: ignore[arg-type]
        assert any("HTTP 200" in line for line in channel.check())
    assert json.loads(server.received[0][2])["test"] is True


def test_a_receiver_that_drips_its_answer_keeps_nothing_waiting(spool: Spool):
    study = a_study(spool, "hook")

    def drip(sock: socket.socket) -> None:
        sock.recv(65536)
        while True:
            sock.sendall(b"H")
            time.sleep(0.02)

    with peer(drip) as port:
        deliverer = a_deliverer(spool, port, timeout_s=0.5)
        deliverer.round()
    assert states(deliverer, study) == [State.WAITING]
