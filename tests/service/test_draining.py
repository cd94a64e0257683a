"""`web` and `reports` that are told to stop: not ready from then on, and at work until the drain is over."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Answer, plain, report
from tests.support.service import Role, roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch

LONG_S = "300"


def told_to_stop(role: Role, port: int) -> None:
    wait_for(lambda: fetch(port, "/readyz")[0] == 200, "it to be ready", 120.0)
    role.process.terminate()
    wait_for(lambda: fetch(port, "/readyz")[0] == 503, "it not to be ready")
    assert fetch(port, "/readyz")[1].startswith("stopping: new ")


def test_web_answers_and_ends_each_connection(redis_server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    settings = {"web_port": str(port), "listener_drain_s": LONG_S}
    with roles(tmp_path, redis_server.url, tmp_path, **settings) as running:
        role = running.start("web")
        told_to_stop(role, port)
        answer = httpx.get(f"http://127.0.0.1:{port}/api/worklist", trust_env=False)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert role.process.poll() is None


def test_reports_acknowledges_over_a_connection_that_was_open(redis_server: RedisServer, tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    settings = {"reports_port": str(port), "reports_metrics_port": str(metrics), "listener_drain_s": LONG_S}
    with roles(tmp_path, redis_server.url, tmp_path, **settings) as running:
        role = running.start("reports")
        wait_for(lambda: role.said("reports: MLLP on"), "the listener", 120.0)
        with plain(port) as kept:
            told_to_stop(role, metrics)
            with plain(port) as new:
                for connection in (kept, new):
                    connection.sendall(b"\x0b" + report().encode() + b"\x1c\r")
                    # Any answer: without a sweep there is no list, and it asks to have the message again.
                    assert Answer.of(connection.recv(1 << 16)).about == "1"
        assert role.process.poll() is None


def test_both_end_when_it_is_over(redis_server: RedisServer, tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    settings = {"reports_port": str(free_port()), "reports_metrics_port": str(metrics), "web_port": str(port)}
    with roles(tmp_path, redis_server.url, tmp_path, listener_drain_s="1", **settings) as running:
        started = [running.start("web"), running.start("reports")]
        for role, of_health in zip(started, (port, metrics), strict=True):
            wait_for(lambda of_health=of_health: fetch(of_health, "/readyz")[0] == 200, "it to be ready", 120.0)
            assert role.terminate() == 0
