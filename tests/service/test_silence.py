"""Silence is written down, exported and in the audit trail when a worker starts with other settings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support import audit_schema as schema
from triage.metrics.worker import WorkerMetrics
from triage.service.silence import begin
from triage.settings.schema import Settings
from triage.spool.silence import silence_text, silent_since
from triage.spool.spool import Spool


def settings(tmp_path: Path, silent: bool) -> Settings:
    audit = {"always": True, "path": tmp_path / "audit.xml"}
    return Settings.model_validate({"decision": {"silent": silent, "silent_days": 2}, "audit": audit})


def gauges(settings: Settings, spool: Spool) -> tuple[float | None, float | None]:
    registry = CollectorRegistry()
    begin(settings, spool, WorkerMetrics(registry))
    names = ("cxr_triage_silent", "cxr_triage_silent_until_timestamp_seconds")
    return registry.get_sample_value(names[0]), registry.get_sample_value(names[1])


def test_a_worker_writes_down_when_silence_begins_and_ends(spool: Spool, tmp_path: Path) -> None:
    trail = tmp_path / "audit.xml"
    assert gauges(settings(tmp_path, False), spool) == (0, 0)
    assert (silence_text(spool), trail.exists()) == ("", False)
    for _ in range(2):  # of two workers one writes
        on, until = gauges(settings(tmp_path, True), spool)
        since = silent_since(spool)
        assert on == 1 and since is not None and time.time() - 60 < since <= time.time()
        assert until == since + 2 * 24 * 3600
    assert "silent since 20" in silence_text(spool) and "neither listed nor delivered" in silence_text(spool)
    assert len(trail.read_text().splitlines()) == 1
    assert gauges(settings(tmp_path, False), spool) == (0, 0)
    assert silence_text(spool) == ""
    messages = schema.messages(trail)
    assert [schema.kind(each) for each in messages] == ["110131", "110131"]


def test_a_trail_that_cannot_be_written_stops_no_scoring(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit.xml").mkdir()
    assert gauges(settings(tmp_path, True), spool)[0] == 1
    assert "record it by hand" in caplog.text


def test_a_mark_that_cannot_be_read_is_silence(spool: Spool) -> None:
    (spool.root / "control" / "silent.json").write_text("{")
    assert silent_since(spool) == 0.0
