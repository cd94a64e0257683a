"""A worker with one model of its own and one at a server: what the server does touches that model alone."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.service.test_readiness import free
from tests.support.inference_server import brightness, inference_server
from tests.support.model_folders import write_model, write_remote_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive, roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.errors import StartError
from triage.service.check.models import check_models
from triage.service.models import load_sessions
from triage.settings.load import load

BIAS = -10.0  # a chest is negative


def test_one_that_says_something_else_is_taken_out_and_comes_back(tmp_path: Path, redis_server: RedisServer) -> None:
    write_model(tmp_path / "models", "tiny-child", age_from=1, age_below=6, bias=-10)
    write_remote_model(tmp_path / "models", "far", bias=BIAS)
    (port,) = free(1)
    right = partial(brightness, bias=BIAS)
    with inference_server(model=right) as server:
        settings = {
            "worker_metrics_port": str(port),
            "open_inference_servers": f"far={server.address}",
            "open_inference_check_interval_s": "1",
        }
        with roles(tmp_path, redis_server.url, tmp_path / "models", **settings) as running:
            running.start("work")
            running.start("sweep")
            decided = running.spool.decision

            def tag(number: int, age: str = "050Y") -> str:
                chest = receive(running.spool, a_chest(number, age=age))
                found = wait_for(lambda: decided(chest.study_instance_uid), f"chest {number} to be decided")
                return str(found["tag"])

            assert tag(1) == "NORMAL"
            server.model = partial(brightness, bias=BIAS + 0.01)
            wait_for(lambda: fetch(port, "/readyz")[0] == 503, "the other answers to be seen without any image")
            assert "not with far" in fetch(port, "/readyz")[1]
            assert tag(2) == "NOT_ASSESSED"
            assert tag(3, age="003Y") == "NORMAL"
            (why,) = wait_for(lambda: list(dict(running.spool.dead_letters()).values()), "the object to be given up")
            assert "the model far is out of service: its server gives answers that are off by" in json.dumps(why)
            assert 'cxr_triage_model_state{model="far",state="out"} 1.0' in fetch(port, "/metrics")[1]
            server.model = right
            wait_for(lambda: fetch(port, "/readyz")[0] == 200, "the model to be back")
            assert tag(4) == "NORMAL"
            metrics = fetch(port, "/metrics")[1]
            assert 'known_answer_checks_total{model="far",outcome="differed"}' in metrics
            assert 'model_info{configured_provider="cpu",' in metrics and 'provider="open_inference"' in metrics


def test_a_model_without_a_server_in_the_settings_ends_the_start(tmp_path: Path) -> None:
    write_remote_model(tmp_path / "models", "far")
    with pytest.raises(StartError, match=r'far lives at a server.*set open_inference.servers = \["far=https://'):
        load_sessions(load(None, environment(tmp_path)))


def test_check_asks_the_server(tmp_path: Path) -> None:
    write_remote_model(tmp_path / "models", "far")
    with inference_server() as server:
        named = {"TRIAGE_OPEN_INFERENCE_SERVERS": f"far={server.address}"}
        settings = load(None, {**environment(tmp_path), **named})
        found, *holes = check_models(settings)
        assert all("not served: " in each.finding for each in holes)
        assert server.asked and found.finding == "its server gives the known answers"
    found, *_ = check_models(settings)
    assert "is out of service: its server did not answer" in found.finding


def environment(folder: Path) -> dict[str, str]:
    return {"TRIAGE_MODELS_PATH": str(folder / "models"), "TRIAGE_SPOOL_PATH": str(folder / "spool")}
