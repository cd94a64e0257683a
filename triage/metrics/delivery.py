"""Metrics of `triage deliver`."""

from __future__ import annotations

from triage.metrics.labels import WAITING_SECONDS
from triage.metrics.process import ProcessMetrics
from triage.metrics.registry import counter, gauge, histogram
from triage.metrics.tls import CertificateMetrics


class DeliveryMetrics(ProcessMetrics, CertificateMetrics):
    """Messages built and delivered.

    {destination}: names from the settings only. {outcome}: delivered, retry, dead, unreachable.
    """

    built = counter("deliveries_built_total", "Messages built.", "destination")
    repaired = counter(
        "deliveries_repaired_total", "Messages built without attributes that are odd in the images.", "destination"
    )
    skipped = counter("deliveries_skipped_total", "Results of which there is nothing to send.", "destination")
    attempts = counter("delivery_attempts_total", "Attempts to deliver a message.", "destination", "outcome")
    warnings = counter("delivery_warnings_total", "Messages that were delivered with a warning.", "destination")
    build_failures = counter("delivery_build_failures_total", "Messages that cannot be built.", "destination")
    held = counter("deliveries_held_total", "Results not sent because they would lower a raised study.", "destination")
    time_to_delivery = histogram(
        "time_to_delivery_seconds", "From a study's decision to the receipt.", WAITING_SECONDS, "destination"
    )
    waiting = gauge("deliveries_waiting", "Messages that are built and not acknowledged.", "destination")
    oldest = gauge(
        "oldest_undelivered_timestamp_seconds",
        "Since when the oldest result waits for its delivery; 0 while none waits.",
        "destination",
    )
    dead = gauge("delivery_dead_letters", "Messages that were given up and wait for a person.", "destination")
    without_images = gauge(
        "deliveries_without_images",
        "Studies of which a destination was told without images that could not be read, and that cannot be read yet.",
        "destination",
    )
    up = gauge("destination_up", "Whether the last attempt reached the destination.", "destination")
    switched_off = gauge("destination_switched_off", "Whether a person has switched it off.", "destination")
