"""The clock of several hosts is the database's, and a host with another one removes nothing by age."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from tests.support.cluster import Cluster
from tests.support.wait import wait_for
from triage.metrics.listener import ListenerMetrics
from triage.service.clock_watch import ClockWatch
from triage.service.running import watch_clock
from triage.spool import clock as clocks
from triage.spool.clock import Clock, Instant, read_clocks_of

DAY = 24 * 3600.0


def of_a_host(monkeypatch: pytest.MonkeyPatch, boot: str, ahead_s: float) -> None:
    """Let this process be one of a host whose clock is ahead by so much."""
    read = Instant(time.time() + ahead_s, time.clock_gettime(time.CLOCK_BOOTTIME), boot)
    monkeypatch.setattr(clocks, "read_clocks", lambda: read)


def test_the_time_is_the_databases_whatever_a_host_shows(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cluster.open()
    here = time.time()
    of_a_host(monkeypatch, "b", 3 * DAY)
    now = read_clocks_of(store)

    assert abs(now.at - here) < 60 and abs(now.off_s - 3 * DAY) < 60 and not now.is_agreed


@pytest.mark.parametrize("ahead_s", [3 * DAY, 90.0, -90.0])
def test_a_host_that_is_off_removes_nothing_and_disturbs_no_other(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    store = cluster.open()
    Clock(store).trust()
    of_a_host(monkeypatch, "b", ahead_s)
    _, may_remove = ClockWatch(store).look()
    assert not may_remove
    of_a_host(monkeypatch, "a", 20.0)
    _, may_remove = ClockWatch(store).look()

    assert may_remove and not Clock(store).in_doubt()


def test_a_process_exports_its_host_s_offset(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_host(monkeypatch, "b", 90.0)
    registry = CollectorRegistry()
    clock = watch_clock(cluster.open(), ListenerMetrics(registry))
    wait_for(clock.why_off, "the first look")
    assert clock.why_off().startswith("this host's clock is +")
    assert (registry.get_sample_value("cxr_triage_clock_offset_seconds") or 0.0) > 60.0
