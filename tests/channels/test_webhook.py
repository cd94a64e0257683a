"""The webhook, against a real HTTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.delivery.test_deliverer import Clock, states
from tests.runtime.test_http_request import peer
from tests.support.certificates import authority, server_context
from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.odd_text import ODD
from tests.support.ports import free_port
from tests.support.receivers import silent_port
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.registry import channel_of
from triage.channels.webhook.channel import SIGNATURE
from triage.channels.webhook.settings import WebhookDestination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.metrics.delivery import DeliveryMetrics
from triage.settings.load import SettingsError, load
from triage.spool.spool import Spool

SECRET = "sixteen characters"


class Server(ThreadingHTTPServer):
    """Answers statuses in turn, the last one for ever; keeps what came."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers[SIGNATURE], body))
        self.server.headers.append(dict(self.headers))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_server(*statuses: int, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server(*statuses) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
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
    metrics = DeliveryMetrics(CollectorRegistry())
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
    assert states(deliverer, study) == [DeliveryState.DELIVERED]


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
    [
        (204, DeliveryState.DELIVERED),
        (302, DeliveryState.WAITING),
        (401, DeliveryState.WAITING),
        (422, DeliveryState.DEAD),
        (503, DeliveryState.WAITING),
    ],
)
def test_a_status_decides(spool: Spool, status: int, state: DeliveryState):
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
    assert states(deliverer, study) == [DeliveryState.WAITING]


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
    assert states(deliverer, study) == [DeliveryState.WAITING]


# Standard Webhooks, checked by the verifier that its authors publish.

FIRST, SECOND, THIRD = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2, 3))


def test_every_attempt_is_signed_by_the_standard_and_has_the_id_of_the_result(spool: Spool):
    study, clock = a_study(spool, "hook"), Clock()
    with web_server(503, 200) as server:
        deliverer = a_deliverer(spool, server.server_port, clock, secret=FIRST)
        deliverer.round()
        clock.at += 100.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    bodies = [body for _, _, body in server.received]
    for headers, body in zip(server.headers, bodies, strict=True):
        assert Webhook(FIRST).verify(body, headers) == json.loads(body)
        with pytest.raises(WebhookVerificationError):
            Webhook(FIRST).verify(body.replace(b"ABNORMAL", b"NORMAL  "), headers)
    assert {headers["webhook-id"] for headers in server.headers} == {json.loads(bodies[0])["id"]}


@pytest.mark.parametrize(("known", "taken"), [(FIRST, True), (SECOND, True), (THIRD, False)])
def test_while_keys_change_a_receiver_may_have_either(spool: Spool, known: str, taken: bool):
    a_study(spool, "hook")
    with web_server(200) as server:
        a_deliverer(spool, server.server_port, secret=FIRST, second_secret=SECOND).round()

    ((_, _, body),), (headers,) = server.received, server.headers
    try:
        Webhook(known).verify(body, headers)
    except WebhookVerificationError:
        assert not taken
    else:
        assert taken


def test_a_secret_in_plain_text_is_the_key_itself(spool: Spool):
    a_study(spool, "hook")
    with web_server(200) as server:
        a_deliverer(spool, server.server_port).round()

    ((_, _, body),), (headers,) = server.received, server.headers
    Webhook(SECRET.encode()).verify(body, headers)


@pytest.mark.parametrize("secret", ["whsec_" + "!" * 32, "whsec_" + base64.b64encode(b"too short!").decode()])
def test_a_secret_of_the_standards_form_that_is_no_key_is_refused_and_not_shown(tmp_path: Path, secret: str):
    file = tmp_path / "triage.toml"
    file.write_text(f'[[channels.webhook]]\nname = "hook"\nurl = "https://a.example"\nsecret = "{secret}"\n')
    with pytest.raises(SettingsError, match="whsec_") as refused:
        load(file, {})
    assert secret not in str(refused.value)


# TLS.


def test_a_receiver_that_asks_for_a_certificate_gets_ours_and_a_renewed_one_without_a_restart(
    spool: Spool, tmp_path: Path
):
    ca = authority(tmp_path)
    ours, study, clock = ca.certificate("ours", days=-1), a_study(spool, "hook"), Clock()
    with web_server(200, tls=server_context(ca.certificate("theirs"), ca.path)) as server:
        url = f"https://127.0.0.1:{server.server_port}/"
        files = {"tls_ca_file": ca.path, "tls_certificate": ours.path, "tls_key": ours.key}
        deliverer = a_deliverer(spool, server.server_port, clock, url=url, **files)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        ca.certificate("ours")
        clock.at += 100.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]


def test_a_file_of_ours_that_is_missing_is_named_and_the_result_kept(spool: Spool, tmp_path: Path):
    study, missing = a_study(spool, "hook"), tmp_path / "gone.pem"
    deliverer = a_deliverer(spool, 1, url="https://127.0.0.1:1/", tls_ca_file=missing)
    deliverer.round()

    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert "gone.pem" in deliverer.outbox.pause("hook")[2]


@pytest.mark.parametrize(
    "settings", [{"tls_certificate": "a.pem"}, {"url": "http://a.example", "tls_ca_file": "a.pem"}]
)
def test_settings_for_half_of_tls_are_refused(settings: dict[str, Any]):
    values = {"name": "hook", "url": "https://a.example", "secret": SECRET}
    with pytest.raises(ValidationError, match="tls_"):
        WebhookDestination(**{**values, **settings})


def test_findings_are_posted_behind_what_they_are(spool: Spool):
    add_image(spool, a_radiograph("1.2.3"), **scored(a_score("effusion", 0.91), a_score("nodule", 0.1)))
    settle(spool, "1.2.3", "hook", policy=CRITICAL_EFFUSION)
    with web_server(200) as server:
        a_deliverer(spool, server.server_address[1]).round()
    content = json.loads(server.received[0][2])

    names = list(content)
    assert names.index("scope") < names.index("tag")
    assert content["scope"] == "AI triage, unverified, of the frontal images"
    assert (content["urgency"], content["raised"], content["priority"]) == ("critical", True, "HIGH")
    effusion, nodule = content["findings"]
    assert (effusion["name"], effusion["state"], effusion["urgency"]) == ("effusion", "present", "critical")
    assert (effusion["probability"], effusion["threshold"], effusion["code"]["value"]) == (0.91, 0.5, "60046008")
    assert (nodule["state"], nodule["images"]) == ("absent", [])
    assert content["looked_for"] == [
        "Looked for: Effusion (present), Nodule (absent).",
        "Nothing else was looked for.",
    ]
