"""Ports that `triage healthcheck --process` asks."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Timer
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from triage.cli import triage
from triage.runtime.health import HealthServer
from triage.service.ready_addresses import PROCESSES, ready_addresses
from triage.service.supervisor import build
from triage.settings.load import load
from triage.settings.schema import Settings


def test_each_process_is_asked_at_its_own_port() -> None:
    settings = Settings()
    asked = {name: ready_addresses(settings, name) for name in PROCESSES}
    assert all(len(each) == 1 for each in asked.values())
    assert len({address for each in asked.values() for address in each}) == len(PROCESSES)


def test_all_are_those_that_up_starts(tmp_path: Path) -> None:
    numbers = {"TRIAGE_LISTENER_PROCESSES": "1", "TRIAGE_WORKER_PROCESSES": "2"}
    settings = load(None, {**numbers, "TRIAGE_WEB_HOST": "0.0.0.0", "TRIAGE_SIGN_IN_METHOD": "users"})
    asked = ready_addresses(settings, None)
    web = f"http://127.0.0.1:{settings.web.port}/readyz"
    assert [address.rsplit(":", 1)[1].split("/")[0] for address in asked] == ["9110", "9130", "9131", "9150", "8080"]
    assert asked[-1] == web
    assert ready_addresses(load(None, {"TRIAGE_SWEEP_METRICS_PORT": "0"}), "sweep") == []


@pytest.mark.parametrize(("cores", "listeners"), [(1, 1), (7, 1), (8, 2), (64, 8)])
def test_up_starts_listeners_by_the_cores_and_a_listener_by_itself_is_alone(
    cores: int, listeners: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    settings = Settings.model_validate({"redis": {"url": "unix:///nowhere/redis.sock"}})
    started = [each.command for each in build(settings, {}, Mock()).listeners if each.command[0] == "listen"]
    of = ["--of", str(listeners)] if listeners > 1 else []
    assert started == [["listen", "--index", str(number), *of] for number in range(listeners)]
    assert len([each for each in ready_addresses(settings, None) if ":911" in each]) == listeners
    assert len(ready_addresses(settings, "listen")) == 1


@pytest.mark.parametrize(("wait_s", "status"), [("60", 0), ("0", 1)])
def test_it_waits_as_long_as_it_is_told(wait_s: str, status: int) -> None:
    state = [False]
    with HealthServer(CollectorRegistry(), lambda: (state[0], "here"), 0) as server:
        later = Timer(0.5, lambda: state.__setitem__(0, True))
        if wait_s != "0":
            later.start()
        environment = {"TRIAGE_SWEEP_METRICS_PORT": str(server.port)}
        done = CliRunner().invoke(triage, ["healthcheck", "--process", "sweep", "--wait", wait_s], env=environment)
    assert done.exit_code == status, done.output
