"""A model whose loading never ends, together with one that loads: the service goes on with the other, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.test_readiness import free
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive, roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch

PATIENCE = {"worker_load_timeout_s": "10", "worker_threads": "1"}
"""Enough for a sound model on a busy machine."""


@pytest.mark.parametrize("fault", ["endless_load", "endless_node"])
def test_the_other_models_go_on_and_its_images_are_not_assessed(
    tmp_path: Path, redis_server: RedisServer, fault: str
) -> None:
    write_model(tmp_path / "models", "tiny-adult", bias=-10)
    write_model(tmp_path / "models", "tiny-child", age_from=1, age_below=6, **{fault: True})
    (port,) = free(1)
    settings = {"worker_metrics_port": str(port)} | PATIENCE
    with roles(tmp_path, redis_server.url, tmp_path / "models", **settings) as running:
        running.start("work")
        wait_for(lambda: "loading the models" in fetch(port, "/readyz")[1], "the worker to say what it does", 60.0)
        adult, child = (receive(running.spool, a_chest(number, age=age)) for number, age in ((1, "050Y"), (2, "003Y")))
        running.start("sweep")
        decided = running.spool.decision
        for each in (adult, child):
            wait_for(lambda each=each: decided(each.study_instance_uid), "it to be decided", 60.0)
        assert decided(adult.study_instance_uid)["tag"] == "NORMAL"
        assert decided(child.study_instance_uid)["tag"] == "NOT_ASSESSED"
        (why,) = wait_for(lambda: list(dict(running.spool.dead_letters()).values()), "the object to be given up")
        assert "the model tiny-child did not load and run once within 10 s" in str(why)
        status, said = fetch(port, "/readyz")
        assert status == 503 and "not with tiny-child, which did not load" in said
        assert 'cxr_triage_model_state{model="tiny-child",state="not_loaded"} 1.0' in fetch(port, "/metrics")[1]


def test_one_in_shadow_that_does_not_load_decides_nothing_and_is_told(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    write_model(tmp_path / "models", "tiny-adult", bias=-10)
    write_model(tmp_path / "models", "trial", endless_load=True)
    (port,) = free(1)
    settings = {"worker_metrics_port": str(port), "models_shadow": "trial"} | PATIENCE
    with roles(tmp_path, redis_server.url, tmp_path / "models", **settings) as running:
        running.start("work")
        chest = receive(running.spool, a_chest(1, age="050Y"))
        running.start("sweep")
        found = wait_for(lambda: running.spool.decision(chest.study_instance_uid), "it to be decided", 60.0)
        assert found["tag"] == "NORMAL"
        assert not list(running.spool.dead_letters())
        wait_for(lambda: fetch(port, "/readyz")[0] == 200, "the worker to be ready", 30.0)
        assert 'cxr_triage_model_state{model="trial",state="not_loaded"} 1.0' in fetch(port, "/metrics")[1]
