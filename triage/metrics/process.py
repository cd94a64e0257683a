"""Metrics that every process exports.

Each process has a registry of its own and serves it on its own port; nothing is shared between processes, and a process
exports the families of its own file alone. Counters and histograms count what *this* process did: sum them over
processes. Gauges of shared state (spool, queue, dead letters) have one writer, the sweep. Moments are exported as POSIX
seconds and become ages in PromQL.

Labels are bounded and never identify a patient, a study or an unknown peer: a value that is on no closed list is
``other``.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from triage.metrics.registry import MetricGroup, gauge


class ProcessMetrics(MetricGroup):
    """Release, settings and clock of a process, and what prometheus_client measures of it."""

    build_info = gauge("build_info", "What this process runs; the value is 1.", "version", "settings")
    clock_offset = gauge(
        "clock_offset_seconds",
        "Seconds by which this host's clock is ahead of the database's; NaN while unknown, 0 with a store of files.",
    )

    def _register(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        super()._register(registry)

    def describe(self, version: str, settings: str) -> None:
        """Export the version of the program and the revision of its settings."""
        self.build_info.labels(version, settings).set(1)
