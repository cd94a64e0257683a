"""Metrics of `triage sweep`: its runs, and the gauges of state that all processes share."""

from __future__ import annotations

from triage.metrics.process import ProcessMetrics
from triage.metrics.reconcile import ReconcileMetrics
from triage.metrics.registry import counter, gauge
from triage.metrics.tls import CertificateMetrics


class SweepMetrics(ProcessMetrics, CertificateMetrics, ReconcileMetrics):
    """Runs of the sweep, and shared state.

    No other process exports the shared state: its zeros would appear next to the true values. {outcome}: ok, failed.
    {folder}: inbox, dead, quarantine. {queue}: score, score-priors, score-stat.
    {part}: models, operating_points, priorities, images, cases, destinations, program.
    """

    sweep_runs = counter("sweep_runs_total", "Sweeps.", "outcome")
    spool_total_bytes = gauge("spool_file_system_bytes", "Size of the file system under the spool.")
    spool_free_bytes = gauge("spool_free_bytes", "Free bytes of the file system under the spool.")
    spool_total_inodes = gauge("spool_file_system_inodes", "Inodes of the file system under the spool.")
    spool_free_inodes = gauge("spool_free_inodes", "Free inodes of the file system under the spool.")
    spool_bytes = gauge("spool_bytes", "Bytes that the spool itself takes, by folder.", "folder")
    inbox_objects = gauge("inbox_objects", "Objects that are acknowledged and not yet tagged.")
    oldest_untagged = gauge(
        "oldest_untagged_timestamp_seconds", "When the oldest untagged object was received; 0 while none waits."
    )
    queue_depth = gauge("queue_depth", "Jobs that wait in a worker's queue.", "queue")
    dead_letters = gauge("dead_letters", "Objects that were given up and wait for a person.")
    quarantined = gauge("quarantined_objects", "Unparsable objects that were kept.")
    undeleted = gauge(
        "undeleted_objects", "Objects that nothing names any more and that the bucket has not deleted for an hour."
    )
    redis_up = gauge("redis_up", "Whether Redis answered the last sweep.")
    last_sweep = gauge("sweep_last_run_timestamp_seconds", "When the last sweep ended.")
    clock_jumped = gauge(
        "clock_jumped", "1 while nothing is removed because the clock jumped and has not been steady since."
    )
    models_differ = gauge(
        "models_differ", "Models that workers of several hosts have in different forms, or that some of them lack."
    )
    rules_differ = gauge(
        "rules_differ", "Settings that decide, or models, that workers of several hosts have otherwise.", "part"
    )
    studies_overdue = gauge(
        "studies_overdue", "Studies past their retention that are still kept: not read, not delivered, or not yet."
    )
