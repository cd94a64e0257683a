"""The sweep's look at what decides on hosts: it tells each part when that changes."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from triage.metrics.sweep import SweepMetrics
from triage.operations.in_work import Part, announce, at_work, compared
from triage.service.host_watch import HostWatch
from triage.spool.spool import Spool


def test_a_difference_is_told_once_and_so_is_its_end(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "triage.service.host_watch")
    registry = CollectorRegistry()
    watch = HostWatch(spool, SweepMetrics(registry))

    def told(second: str) -> list[str]:
        caplog.clear()
        announce(spool, "b-1", {Part.MODELS: {"adult": second}, Part.IMAGES: {"x": "1"}})
        for _ in range(2):
            watch.look()
        return [each.getMessage() for each in caplog.records]

    with spool.workers.hold("a-1"), spool.workers.hold("b-1"):
        announce(spool, "a-1", {Part.MODELS: {"adult": "1 (aa)"}})
        assert told("1 (aa)") == []
        (line,) = told("2 (bb)")
        assert line.startswith("models of hosts: adult: 1 (aa) on ") and "depends on the host" in line
        assert registry.get_sample_value("cxr_triage_models_differ") == 1
        assert registry.get_sample_value("cxr_triage_rules_differ", {"part": "models"}) == 1
        assert told("1 (aa)") == ["models of hosts: the same on all"]
        assert registry.get_sample_value("cxr_triage_models_differ") == 0
        announced = {each.part for each in compared(at_work(spool)) if each.announced}
        assert announced == {Part.MODELS, Part.IMAGES}
