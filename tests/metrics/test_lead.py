"""A standby exports what it knows of itself, and no state that the leader alone knows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from triage.metrics.lead import LeadMetrics, gauges_of, while_leading
from triage.metrics.sweep import SweepMetrics


def exported(registry: CollectorRegistry) -> set[str]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.partition(" ")[0].partition("{")[0] for line in lines if not line.startswith("#")}


def test_gauges_of_shared_state_come_with_the_lead() -> None:
    registry, leads = CollectorRegistry(), list[str]()
    of_lead, sweep = LeadMetrics(registry), SweepMetrics(registry)
    of_lead.leads.labels("sweep", "a").set(0)
    sweep.sweep_runs.labels("ok")
    sweep.certificate_not_after.labels("client").set(1)
    sweep.describe("1", "2")
    shown = while_leading(registry, lambda: bool(leads), gauges_of(SweepMetrics))
    standby = exported(shown)
    assert {"cxr_triage_leads", "cxr_triage_build_info", "cxr_triage_sweep_runs_total"} <= standby
    assert "cxr_triage_tls_certificate_not_after_timestamp_seconds" in standby
    state = {"cxr_triage_redis_up", "cxr_triage_sweep_last_run_timestamp_seconds", "cxr_triage_dead_letters"}
    assert not state & standby
    leads.append("sweep")
    assert exported(shown) == exported(registry) >= state | standby
