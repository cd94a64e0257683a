"""The health server over real sockets."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.wait import wait_for
from triage.errors import StartError
from triage.metrics.listener import ListenerMetrics
from triage.runtime.health import HealthServer, is_ready


def ready() -> tuple[bool, str]:
    return True, "ready"


def get(server: HealthServer, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{server.port}{path}", trust_env=False)


def test_metrics_are_those_of_the_registry():
    registry = CollectorRegistry()
    ListenerMetrics(registry).associations_open.set(3)

    with HealthServer(registry, ready, port=0) as server:
        answer = get(server, "/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "cxr_triage_associations_open 3.0" in answer.text


def test_alive_is_not_ready():
    state = (False, "loading models")

    with HealthServer(CollectorRegistry(), lambda: state, port=0) as server:
        assert get(server, "/healthz").status_code == 200
        assert (get(server, "/readyz").status_code, get(server, "/readyz").text) == (503, "loading models\n")
        state = (True, "ready")
        assert (get(server, "/readyz").status_code, get(server, "/readyz").text) == (200, "ready\n")


def test_a_failing_check_is_not_ready_and_in_the_log(caplog: pytest.LogCaptureFixture):
    def broken() -> tuple[bool, str]:
        raise OSError("no such disk")

    with HealthServer(CollectorRegistry(), broken, port=0) as server:
        answer = get(server, "/readyz")

    assert answer.status_code == 503
    assert "no such disk" in caplog.text
    assert "no such disk" not in answer.text


def test_anything_else_is_not_there():
    with HealthServer(CollectorRegistry(), ready, port=0) as server:
        assert get(server, "/../etc/passwd").status_code == 404
        assert httpx.post(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).status_code == 501


def test_it_listens_on_loopback_and_stops_at_the_end():
    with HealthServer(CollectorRegistry(), ready, port=0) as server:
        assert server._server.server_address[0] == "127.0.0.1"
        port = server.port

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert "health" not in [thread.name for thread in threading.enumerate()]


def test_a_silent_client_delays_neither_others_nor_the_end():
    with (
        HealthServer(CollectorRegistry(), ready, port=0) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        silent.sendall(b"GET /met")
        assert get(server, "/healthz").status_code == 200


def test_a_port_in_use_says_what_to_do():
    with (
        HealthServer(CollectorRegistry(), ready, port=0) as first,
        pytest.raises(StartError, match=rf"{first.port}.*metrics_port"),
    ):
        HealthServer(CollectorRegistry(), ready, port=first.port)


def test_a_proxy_of_the_environment_is_not_asked_whether_a_process_is_ready(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy, HealthServer(CollectorRegistry(), ready, port=0) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert is_ready(f"http://127.0.0.1:{server.port}/readyz") == (True, "ready")
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_connections_that_say_nothing_keep_no_scraper_out():
    with HealthServer(CollectorRegistry(), ready, port=0) as server, ExitStack() as open_:
        for _ in range(60):
            open_.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert get(server, "/readyz").status_code == 200
        wait_for(lambda: sum("process_request" in each.name for each in threading.enumerate()) <= 20, "few threads")
