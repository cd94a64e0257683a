"""Version and settings, said alike by whatever says them."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from tests.support.redis_server import RedisServer
from triage.channels.patient_study import SOFTWARE_VERSION
from triage.cli import triage
from triage.metrics.listener import ListenerMetrics
from triage.runtime.release import Running
from triage.service.running import introduce, running
from triage.settings.load import load, load_located
from triage.spool.spool import Spool
from triage.web.api.sources import Sources
from triage.web.app import RequestPolicy, client, create_app, known_hosts
from triage.worklist.index import IndexedWorklist


def of(**environment: str) -> str:
    return running(load(None, environment)).settings


def test_a_revision_changes_with_a_setting_and_with_no_secret() -> None:
    plain = of()
    assert len(plain) == 12 and plain == of()
    assert of(TRIAGE_MODELS_OPERATING_POINT="0.4") != plain
    assert of(TRIAGE_REDIS_URL="redis://:secret@10.0.0.1") == of(TRIAGE_REDIS_URL="redis://:other@10.0.0.1") == plain


def test_log_metrics_status_and_command_say_the_same(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    from starlette.testclient import TestClient

    settings, registry = load_located(None, {}, Path.cwd()).settings, CollectorRegistry()
    expected = running(settings)
    assert expected == Running(expected.settings, version("cxr-triage")) and expected.version == SOFTWARE_VERSION
    with caplog.at_level(logging.INFO):
        introduce("listen", settings, ListenerMetrics(registry))
    assert f"listen: cxr-triage {expected.version}, settings {expected.settings}" in caplog.text
    labels = {"version": expected.version, "settings": expected.settings}
    assert registry.get_sample_value("cxr_triage_build_info", labels) == 1
    with client(redis_server.url, 5.0) as redis:
        sources = Sources(spool, redis, IndexedWorklist(redis), 0.0, lambda: 0.0, running=expected)
        ask = TestClient(create_app(sources, RequestPolicy(known_hosts("0.0.0.0"))))
        status = ask.get("/api/status").json()
    assert (status["version"], status["settings_revision"]) == (expected.version, expected.settings)
    printed = CliRunner().invoke(triage, ["up", "--print-config"])
    assert printed.output.splitlines()[-1] == f"# {expected}"
