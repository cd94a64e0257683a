"""Metrics of one reconciliation of spool, queue and worklist, in the sweep and at the start of each worker."""

from __future__ import annotations

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.registry import MetricGroup, counter, histogram


class ReconcileMetrics(MetricGroup):
    """Repairs of one sweep.

    {why}: lost_job, dead_worker. {what} of the index: the last word of the key that differed, or stranger; of the
    queue: key, id, job, count.
    """

    sweep_duration = histogram("sweep_duration_seconds", "One sweep.", FAST_SECONDS)
    sweep_requeued = counter("sweep_requeued_total", "Objects that a sweep enqueued again.", "why")
    index_repairs = counter(
        "index_repairs_total",
        "Entries of the worklist's index that a sweep corrected.",
        "what",
    )
    queue_repairs = counter(
        "queue_repairs_total",
        "Entries of the queue that a sweep removed: none of ours, or broken.",
        "what",
    )
    index_rebuilds = counter("index_rebuilds_total", "Rebuilds of a lost worklist index.")
    studies_removed = counter("studies_removed_total", "Studies removed after their retention.")
    studies_expired = counter("studies_expired_total", "Studies that left the list by age.")
