"""Metrics of `triage sweep`, and the gauges of what all processes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.registry import MetricFactory


@dataclass(frozen=True)
class StateMetrics:
    """What all processes share. Only the sweep creates these; see the module's docstring."""

    spool_total_bytes: Gauge
    spool_free_bytes: Gauge
    spool_total_inodes: Gauge
    spool_free_inodes: Gauge
    spool_bytes: Gauge  # {folder}
    inbox_objects: Gauge
    oldest_untagged: Gauge  # 0 while nothing waits
    queue_depth: Gauge  # {queue}: one per worker process
    dead_letters: Gauge
    quarantined: Gauge
    redis_up: Gauge
    last_sweep: Gauge
    clock_jumped: Gauge
    studies_overdue: Gauge


def create_state(registry: CollectorRegistry) -> StateMetrics:
    """Register the gauges about what all processes share. For the sweep process alone."""
    gauge = MetricFactory(registry).gauge
    return StateMetrics(
        spool_total_bytes=gauge("spool_file_system_bytes", "Size of the file system under the spool."),
        spool_free_bytes=gauge("spool_free_bytes", "Free bytes of the file system under the spool."),
        spool_total_inodes=gauge("spool_file_system_inodes", "Inodes of the file system under the spool."),
        spool_free_inodes=gauge("spool_free_inodes", "Free inodes of the file system under the spool."),
        spool_bytes=gauge("spool_bytes", "Bytes that the spool itself takes, by folder.", "folder"),
        inbox_objects=gauge("inbox_objects", "Objects that are acknowledged and not yet tagged."),
        oldest_untagged=gauge(
            "oldest_untagged_timestamp_seconds", "When the oldest untagged object was received; 0 while none waits."
        ),
        queue_depth=gauge("queue_depth", "Jobs that wait in a worker's queue.", "queue"),
        dead_letters=gauge("dead_letters", "Objects that were given up and wait for a person."),
        quarantined=gauge("quarantined_objects", "Unparsable objects that were kept."),
        redis_up=gauge("redis_up", "Whether Redis answered the last sweep."),
        last_sweep=gauge("sweep_last_run_timestamp_seconds", "When the last sweep ended."),
        clock_jumped=gauge(
            "clock_jumped",
            "1 while nothing is removed because the clock jumped and has not been steady since.",
        ),
        studies_overdue=gauge(
            "studies_overdue", "Studies past their retention that are still kept: not read, not delivered, or not yet."
        ),
    )


def sweep_metrics(make: MetricFactory) -> Mapping[str, Any]:
    return {
        "sweep_runs": make.counter("sweep_runs_total", "Sweeps.", "outcome"),
        "sweep_duration": make.histogram("sweep_duration_seconds", "One sweep.", FAST_SECONDS),
        "sweep_requeued": make.counter("sweep_requeued_total", "Objects that a sweep enqueued again.", "why"),
        "index_repairs": make.counter(
            "index_repairs_total", "What a sweep put right where the worklist's index differed from the files.", "what"
        ),
        "queue_repairs": make.counter(
            "queue_repairs_total", "What a sweep removed from the queue because it was none of ours, or broken.", "what"
        ),
        "index_rebuilds": make.counter("index_rebuilds_total", "Rebuilds of a lost worklist index."),
        "studies_removed": make.counter("studies_removed_total", "Studies removed after their retention."),
        "studies_expired": make.counter("studies_expired_total", "Studies that left the list by age."),
    }
