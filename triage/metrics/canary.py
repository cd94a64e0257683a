"""Metrics of the canary."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from triage.metrics.labels import WAITING_SECONDS
from triage.metrics.registry import MetricFactory


@dataclass(frozen=True)
class CanaryMetrics:
    """What the one process that sends canaries sees of them; they are counted nowhere else."""

    last_success: Gauge  # 0 if none ever came out
    interval: Gauge
    duration: Histogram
    failures: Counter  # {stage}: stored, queued, scored, decided, delivered:DESTINATION


def create_canary(registry: CollectorRegistry) -> CanaryMetrics:
    """Register what is known of canaries. For the process that sends them alone, and only where it does."""
    make = MetricFactory(registry)
    return CanaryMetrics(
        last_success=make.gauge(
            "canary_last_success_timestamp_seconds", "When a canary came out last; 0 if none ever did."
        ),
        interval=make.gauge("canary_interval_seconds", "Time between two canaries."),
        duration=make.histogram(
            "canary_duration_seconds", "From sending a canary to its last receipt.", WAITING_SECONDS
        ),
        failures=make.counter("canary_failures_total", "Canaries that did not come out, by where they stuck.", "stage"),
    )
