"""Metrics of the canary, in the one process that sends it: `triage sweep`, where canary.interval_minutes is set."""

from __future__ import annotations

from triage.metrics.labels import WAITING_SECONDS
from triage.metrics.registry import MetricGroup, counter, gauge, histogram


class CanaryMetrics(MetricGroup):
    """Canaries sent; they are counted nowhere else. {stage}: stored, queued, scored, decided, delivered:DESTINATION."""

    last_success = gauge("canary_last_success_timestamp_seconds", "When a canary last passed every stage; 0: never.")
    interval = gauge("canary_interval_seconds", "Time between two canaries.")
    duration = histogram("canary_duration_seconds", "From sending a canary to its last receipt.", WAITING_SECONDS)
    failures = counter("canary_failures_total", "Canaries that failed, by the stage that they did not pass.", "stage")
