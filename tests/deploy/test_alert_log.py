"""The example of a receiver of alerts."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_ports

SCRIPT = Path(__file__).parents[2] / "deploy/alertmanager/alert_log.py"

ALERT = {
    "status": "firing",
    "startsAt": "2026-11-29T06:00:00Z",
    "labels": {"alertname": "CxrTriageRedisDown"},
    "annotations": {
        "summary": "Redis does not\nanswer.\x1b[2J",
        "action": "Start it.",
        "runbook": "docs/how-to/runbook.md",
    },
}


@pytest.fixture
def receiver() -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_ports(1)
    process = subprocess.Popen([sys.executable, SCRIPT, "127.0.0.1", str(port)], stdout=subprocess.PIPE, text=True)
    yield process, port
    process.kill()
    process.communicate()


def ask(port: int, method: str, body: bytes = b"", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, "/page", body, headers)
    return connection.getresponse().status


def test_each_alert_is_one_line_and_what_is_none_is_refused(receiver: tuple[subprocess.Popen[str], int]) -> None:
    process, port = receiver
    while True:
        try:
            assert ask(port, "GET") == 200
            break
        except ConnectionRefusedError:
            assert process.poll() is None

    message = {"version": "4", "alerts": [ALERT, ALERT | {"status": "resolved"}]}
    assert ask(port, "POST", json.dumps(message).encode()) == 200
    assert [ask(port, "POST", body) for body in (b"no JSON", b"[]", b'{"alerts": [1]}', b'{"alerts": [{}]}')] == [
        400
    ] * 4
    assert ask(port, "POST", b"", **{"Content-Length": "99999999"}) == 413

    assert process.stdout is not None
    said = "Redis does not answer. [2J | Start it. | docs/how-to/runbook.md"
    for status in ("firing", "resolved"):
        assert process.stdout.readline() == f"page {status} 2026-11-29T06:00:00Z CxrTriageRedisDown: {said}\n"
